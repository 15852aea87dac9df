"""gunicorn, for the HTTP service and for the custom handler of Azure Functions."""

from collections.abc import Callable
from typing import Any

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn with one worker process, and with options in place of its command line."""

    def __init__(self, load: Callable[[], Any], *, log_level: str, **options: Any) -> None:
        """`load` makes the WSGI application. It runs in the worker process, because connections, threads and frameworks
        do not survive a fork. `options` are settings of gunicorn."""
        self.load = load
        self._options = {
            "workers": 1,
            "loglevel": "debug" if log_level == "DEBUG" else "warning",
            "control_socket_disable": True,
            **options,
        }
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._options.items():
            self.cfg.set(name, value)
