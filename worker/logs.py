"""Logging of the worker processes: one line per event, to stderr."""

import logging

from jobs.settings import Settings


def configure_logging(settings: Settings) -> None:
    """Configures the root logger. Call it in the parent and in each child process."""
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(processName)s %(name)s: %(message)s", force=True
    )
    # These libraries log a line for each doorbell or request, which operators do not need.
    for name in ("celery.worker.strategy", "celery.app.trace", "kombu", "fsspec", "alembic", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(settings.log_level)))
