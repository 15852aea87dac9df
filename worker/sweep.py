"""`python -m worker.sweep`: one sweep and one retention. The parent process of each worker does both on a timer."""

import sys

from jobs.database import Database
from jobs.errors import BoxqueueError
from jobs.image_store import ImageStore
from jobs.queue.doorbell import Doorbell
from jobs.queue.sweep import sweep
from jobs.retention import apply_retention
from jobs.settings import Settings
from worker.logs import configure_logging


def main() -> None:
    if len(sys.argv) != 1:
        sys.exit("usage: python -m worker.sweep    (the settings come from the environment)")
    try:
        settings = Settings.load()
        configure_logging(settings)
        db = Database(settings.database_url)
        report = sweep(db, Doorbell(settings))
        apply_retention(db, ImageStore(settings.store_url), settings.keep_days)
    except BoxqueueError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{report or 'Another process is sweeping at this moment.'}\n")


if __name__ == "__main__":
    main()
