"""`python -m serverless.azure_functions`: the custom handler, an HTTP server that the Functions host starts and calls.

One process answers one request at a time, because it has one model in memory. Other requests wait in the queue of the
socket. If a picture crashes or blocks the process, gunicorn starts a new one, and the host sends the picture again.
"""

import logging
import os
import pwd
import sys

from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]

from detectors.errors import DetectorError
from jobs.errors import ConfigurationError
from jobs.settings import Settings
from serverless.azure_functions.handler import Handler
from serverless.detection import Detection
from wire.server import Server

PORT = "FUNCTIONS_CUSTOMHANDLER_PORT"
# Besides the time of the model, a request may take this time to read its picture, to wait for a worker that has claimed
# its job, and to write the answer. The host waits for at most 100 s in all.
OVERHEAD_SECONDS = 60
# A user of the container image. The host has to run as root, but a process that decodes pictures should not.
USER = "boxqueue"


def _load() -> Handler:
    try:
        return Handler(Detection.from_environment())
    except (ConfigurationError, DetectorError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        # It tells gunicorn not to start another process.
        sys.exit(Arbiter.APP_LOAD_ERROR)


def _unprivileged_user() -> dict[str, int]:
    """The options of gunicorn that drop root, if this process is root and may change its user."""
    if os.geteuid() != 0:
        return {}
    try:
        user = pwd.getpwnam(USER)
        os.setgroups([])
    except (KeyError, PermissionError):
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid}


def main() -> None:
    """Runs the handler. Exits with status 2 and one sentence if a setting is wrong."""
    try:
        settings, port = Settings.load(), _port()
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(2)
    # The host logs all lines on stderr as errors.
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stdout
    )
    Server(
        _load,
        log_level=settings.log_level,
        bind=f"127.0.0.1:{port}",
        worker_class="sync",
        timeout=int(settings.picture_seconds) + OVERHEAD_SECONDS,
        proc_name="boxqueue-azure",
        **_unprivileged_user(),
    ).run()


def _port() -> int:
    """The port that the host has chosen. Raises `ConfigurationError` if there is none."""
    try:
        return int(os.environ[PORT])
    except (KeyError, ValueError):
        raise ConfigurationError(
            f"{PORT}: the Functions host sets it; to start by hand, set it to a free port."
        ) from None


if __name__ == "__main__":
    main()
