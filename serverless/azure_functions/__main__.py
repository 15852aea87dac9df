"""`python -m serverless.azure_functions`: the custom handler, an HTTP server that the Functions host starts and asks.

One process that answers one request after the other, as one model in memory can: the others wait in the socket's
queue. gunicorn replaces it where a picture ends it, or holds it up; the host then tries again.
"""

import logging
import os
import pwd
import sys
from typing import Any

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]

from detectors.errors import DetectorError
from jobs.errors import ConfigurationError
from jobs.settings import Settings
from serverless.azure_functions.handler import Handler
from serverless.detection import Detection

PORT = "FUNCTIONS_CUSTOMHANDLER_PORT"
# What a request may take beside the model: fetching its picture, waiting for somebody who has the job, writing. The
# host itself waits for 100 s in all.
OTHER_SECONDS = 60
# Of the image: its host has to be root, but not what reads other people's pictures.
USER = "boxqueue"


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn with our settings in place of its command line."""

    def __init__(self, settings: Settings, port: int) -> None:
        self._settings = settings
        self._port = port
        super().__init__()

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "bind": f"127.0.0.1:{self._port}",
            "workers": 1,
            "worker_class": "sync",
            "timeout": int(self._settings.picture_seconds) + OTHER_SECONDS,
            "loglevel": "debug" if self._settings.log_level == "DEBUG" else "warning",
            "control_socket_disable": True,
            "proc_name": "boxqueue-azure",
        }
        for name, value in (options | _unprivileged()).items():
            self.cfg.set(name, value)

    def load(self) -> Handler:
        # In the worker process, after the fork: a framework and its threads do not outlive one.
        try:
            return Handler(Detection.open())
        except (ConfigurationError, DetectorError) as error:
            print(error, file=sys.stderr)  # noqa: T201
            sys.exit(Arbiter.APP_LOAD_ERROR)


def _unprivileged() -> dict[str, int]:
    """The user of the image in place of root, where this is root and may become somebody else."""
    if os.geteuid() != 0:
        return {}
    try:
        user = pwd.getpwnam(USER)
        os.setgroups([])
    except (KeyError, PermissionError):
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid}


def main() -> None:
    """Exit status 2 and one sentence where the settings are wrong."""
    try:
        settings, port = Settings.load(), _port()
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(2)
    # The host takes what comes on stderr for errors.
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stdout
    )
    Server(settings, port).run()


def _port() -> int:
    """The host's choice. Raises `ConfigurationError`."""
    try:
        return int(os.environ[PORT])
    except (KeyError, ValueError):
        raise ConfigurationError(f"{PORT}: the Functions host sets it; to start by hand, give a free port.") from None


if __name__ == "__main__":
    main()
