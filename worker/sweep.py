"""The sweep: puts the jobs of expired claims back, lets cancelled batches' rows follow, and rings where jobs wait.

`python -m worker.sweep` does it once by hand. Otherwise each worker's parent process does, on a timer.
"""

import sys
from dataclasses import dataclass

import sqlalchemy as sa

from jobs.batches import cancel_rows, cancelling_batches
from jobs.database import Database
from jobs.errors import BoxqueueError
from jobs.image_store import ImageStore
from jobs.queue.doorbell import Doorbell
from jobs.queue.queries import waiting_runtimes
from jobs.queue.recovery import expire_leases
from jobs.settings import Settings
from worker.housekeeping import apply_retention
from worker.logs import configure_logging

# Any number; it only has to be the same in every process that sweeps.
_ADVISORY_LOCK = 0x626F7873


@dataclass(frozen=True)
class Swept:
    """What one sweep did."""

    expired: list[str]
    """Runtimes that got jobs back from expired claims."""
    cancelled: int
    """Rows that followed their batch's cancellation."""
    rung: list[str]
    """Runtimes with waiting jobs."""

    def __str__(self) -> str:
        return (
            f"Jobs put back: {', '.join(self.expired) or 'none'}. Rows cancelled: {self.cancelled}. "
            f"Rung for: {', '.join(self.rung) or 'none'}."
        )


def sweep(db: Database, queue: Doorbell, *, may_expire: bool = True) -> Swept | None:
    """One sweep; None where another process is at it. Raises `DatabaseUnavailable`."""
    with db.read() as lock:
        # SQLite's write lock does the same for each of the steps.
        if not db.is_sqlite and not lock.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(_ADVISORY_LOCK))):
            return None
        expired = expire_leases(db) if may_expire else set()
        cancelled = 0
        for batch_id in cancelling_batches(db):
            while rows := cancel_rows(db, batch_id):
                cancelled += rows
                # A session that does nothing for long is ended by the server, and its lock with it.
                lock.execute(sa.select(1))
        waiting = waiting_runtimes(db)
    for runtime in waiting:
        queue.ring(runtime)
    return Swept(sorted(expired), cancelled, waiting)


def main() -> None:
    """One sweep and one housekeeping, by hand."""
    try:
        settings = Settings.load()
        configure_logging(settings)
        db = Database(settings.database_url)
        swept = sweep(db, Doorbell(settings))
        apply_retention(db, ImageStore(settings.store_url), settings.keep_days)
    except BoxqueueError as error:
        sys.exit(str(error))
    sys.stdout.write(f"{swept or 'Another process is sweeping at this moment.'}\n")


if __name__ == "__main__":
    main()
