"""What keeps a job alone on a model server that has gone away with it before: whatever the server does then, no other
picture of ours did it.

So an innocent job does not fail for one that takes the server down, however many workers ask the server at once.
"""

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from jobs.database import AnyRow
from jobs.tables import RUNNING, Claim, Job

# Any number; it only has to be the same in every process that claims.
_ADVISORY_LOCK = 0x626F7874


def may_start(connection: Connection, job: AnyRow, models: Collection[str]) -> bool:
    """Whether a claim that this queued job leads may start now on the server of these models.

    A job that has to be alone there waits until nothing else is at work, and all else waits until it has ended. To be
    asked in the transaction that writes the claim.
    """
    alone = job.absences > 0
    if connection.dialect.name == "postgresql":
        # Held until the commit, else two would miss each other's claims. SQLite has one writer at a time.
        lock = sa.func.pg_advisory_xact_lock if alone else sa.func.pg_advisory_xact_lock_shared
        connection.execute(sa.select(lock(_ADVISORY_LOCK)))
    in_the_way = sa.select(Claim.id).where(Claim.ended_at.is_(None), Claim.model.in_(models))
    if not alone:
        # The status as the partial index of the running jobs has it.
        running = Job.status == sa.literal_column(f"'{RUNNING}'")
        in_the_way = in_the_way.join(Job, Job.claim_id == Claim.id).where(running, Claim.size == 1, Job.absences > 0)
    return connection.execute(in_the_way.limit(1)).first() is None
