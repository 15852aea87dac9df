"""Runs a job alone on its model server if the server stopped answering while it had this job before.

If the server stops again, no other picture of this service can be the cause. So a job does not fail because another one
stops the server, however many workers use the server at the same time.
"""

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from jobs.database import AnyRow
from jobs.tables import RUNNING, Claim, Job

# Any number; it only has to be the same in every process that claims.
_ADVISORY_LOCK = 0x626F7874


def may_start(connection: Connection, job: AnyRow, models: Collection[str]) -> bool:
    """Whether a claim with this queued job as its first may start now on the server of these models.

    A job with an absence waits until no other claim is open there, and other claims wait until its claim has ended.
    Call it in the transaction that writes the claim.
    """
    alone = job.absences > 0
    if connection.dialect.name == "postgresql":
        # Held until the commit, because two transactions do not see each other's claims. SQLite has one writer.
        lock = sa.func.pg_advisory_xact_lock if alone else sa.func.pg_advisory_xact_lock_shared
        connection.execute(sa.select(lock(_ADVISORY_LOCK)))
    blocking = sa.select(Claim.id).where(Claim.ended_at.is_(None), Claim.model.in_(models))
    if not alone:
        # Written as in the partial index of the running jobs.
        running = Job.status == sa.literal_column(f"'{RUNNING}'")
        blocking = blocking.join(Job, Job.claim_id == Claim.id).where(running, Claim.size == 1, Job.absences > 0)
    return connection.execute(blocking.limit(1)).first() is None
