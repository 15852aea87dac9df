"""`python -m api`: serves the application with gunicorn, one process of several threads."""

import errno
import logging
import socket
import sys
from types import FrameType
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from api import create_app
from api.service import EXTENSION
from detectors.errors import CatalogueError
from jobs.errors import ConfigurationError, Unavailable
from jobs.image_store import ImageStore
from jobs.settings import Settings

# Requests get this long to end when the service stops. Those that wait for a job are answered at once.
GRACE_SECONDS = 10


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threads; when it has to stop, nobody is kept waiting for a job."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self.app.wsgi().extensions[EXTENSION].waiters.close()


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn with our settings in place of its command line."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        settings = self._settings
        options: dict[str, Any] = {
            "bind": f"[{settings.host}]:{settings.port}"
            if ":" in settings.host
            else f"{settings.host}:{settings.port}",
            "workers": 1,
            "worker_class": Worker,
            "threads": settings.api_threads,
            "graceful_timeout": GRACE_SECONDS,
            # The main thread beats; only a machine that stands still makes it miss.
            "timeout": 120,
            "keepalive": 15,
            "loglevel": "debug" if settings.log_level == "DEBUG" else "warning",
            "control_socket_disable": True,
            "proc_name": "boxqueue-api",
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        # In the worker process, after the fork: its connections and threads are its own.
        return create_app(self._settings)


def main() -> None:
    """Exit status 2 and one sentence where the settings are wrong."""
    try:
        settings = Settings.load()
        logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        create_app(settings)
        _check_port(settings.host, settings.port)
        ImageStore(settings.store_url).prepare()
    except (ConfigurationError, CatalogueError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(2)
    except Unavailable as error:
        # It may be there in a moment; /readyz tells until then.
        logging.getLogger("api").warning("%s", error)
    logging.getLogger("api").info("serving on http://%s:%d", settings.host, settings.port)
    Server(settings).run()


def _check_port(host: str, port: int) -> None:
    """Raises `ConfigurationError` where nobody can listen there: gunicorn would go on trying for seconds."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(f"BOXQUEUE_PORT: {host}:{port} is taken by another program.") from error
        raise ConfigurationError(f"BOXQUEUE_HOST: nobody can listen on {host}:{port}: {error.strerror}.") from error


if __name__ == "__main__":
    main()
