"""How the worker processes log: one line an event, to stderr."""

import logging

from jobs.settings import Settings


def configure_logging(settings: Settings) -> None:
    """Sets the root logger up, also inside Celery's own processes."""
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(processName)s %(name)s: %(message)s", force=True
    )
    # One line for each doorbell or request says nothing that an operator needs.
    for chatty in ("celery.worker.strategy", "celery.app.trace", "kombu", "fsspec", "alembic", "httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelName(settings.log_level)))
