"""The sweep: requeues jobs of expired leases, cancels the rows of cancelled batches, rings for jobs that wait."""

from dataclasses import dataclass

import sqlalchemy as sa

from jobs.batches import cancel_rows, cancelling_batches
from jobs.database import Database
from jobs.queue.doorbell import Doorbell
from jobs.queue.queries import waiting_runtimes
from jobs.queue.recovery import expire_leases

# Any number; it only has to be the same in every process that sweeps.
_ADVISORY_LOCK = 0x626F7873


@dataclass(frozen=True)
class SweepReport:
    """What one sweep did."""

    expired: list[str]
    """Runtimes that got jobs back from expired leases."""
    cancelled: int
    """Rows of cancelled batches."""
    rung: list[str]
    """Runtimes with waiting jobs."""

    def __str__(self) -> str:
        return (
            f"Queues with jobs of expired leases: {', '.join(self.expired) or 'none'}. "
            f"Rows cancelled: {self.cancelled}. Workers rung: {', '.join(self.rung) or 'none'}."
        )


def sweep(db: Database, doorbell: Doorbell, *, may_expire: bool = True) -> SweepReport | None:
    """Sweeps once. Returns None if another process sweeps at this moment.

    Without `may_expire` leases stay as they are. Raises `DatabaseUnavailable`.
    """
    with db.read() as lock:
        # On SQLite the write lock of each step is enough.
        if not db.is_sqlite and not lock.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(_ADVISORY_LOCK))):
            return None
        expired = expire_leases(db) if may_expire else set()
        cancelled = 0
        for batch_id in cancelling_batches(db):
            while rows := cancel_rows(db, batch_id):
                cancelled += rows
                # The server ends a transaction that is idle for long, and its lock with it.
                lock.execute(sa.select(1))
        waiting = waiting_runtimes(db)
    for runtime in waiting:
        doorbell.ring(runtime)
    return SweepReport(sorted(expired), cancelled, waiting)
