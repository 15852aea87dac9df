"""`python -m worker.health RUNTIME`: whether the worker of this host takes work; the HEALTHCHECK of its image.

Exit status 0, or 1 and a sentence. What counts is consumption: that a process is there proves nothing.
"""

import socket
import sys
from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from jobs.clock import now, seconds_since
from jobs.database import Database
from jobs.errors import BoxqueueError
from jobs.queue.queries import waiting_jobs
from jobs.queue.worker_registry import ALIVE_SECONDS, CLOCKS_APART_SECONDS
from jobs.settings import Settings
from jobs.tables import Claim, Job, Worker, first_id_of

# A worker that is idle takes a job within a sweep, even where Redis lost its doorbell. One that has taken none for so
# long, while one waited all that time, takes none.
STUCK_SECONDS = 60.0


def fault(db: Database, runtime: str, host: str) -> str | None:
    """What is wrong with the worker of a queue on a host; None where nothing is. Raises `DatabaseUnavailable`."""
    with db.read() as connection:
        worker = connection.execute(
            sa.select(
                Worker.id,
                Worker.models,
                Worker.outages,
                seconds_since(Worker.last_seen).label("silent_s"),
                seconds_since(Worker.started_at).label("age_s"),
            )
            .where(Worker.runtime == runtime, Worker.host == host)
            .order_by(Worker.last_seen.desc())
            .limit(1)
        ).first()
        if worker is None:
            return f"No worker of the queue {runtime} on {host} is in the database's list."
        if worker.silent_s > ALIVE_SECONDS:
            return f"The worker of the queue {runtime} was last seen {worker.silent_s:.0f} s ago."
        if worker.age_s < STUCK_SECONDS or _works(connection, worker.id):
            return None
        # What waits for a model server waits for nothing that this worker could do.
        own = {model: digest for model, digest in worker.models.items() if model not in (worker.outages or {})}
        if waits := _waits_long(connection, runtime, own.items()):
            return f"Jobs of {waits} wait for more than {STUCK_SECONDS:.0f} s, and this worker took none meanwhile."
        return None


def _works(connection: Connection, worker_id: str) -> bool:
    """Whether it has a claim, or took one lately."""
    has_one = sa.and_(Claim.ended_at.is_(None), Claim.expires_at > now())
    # By id first: ids are in the order of time, so the long ledger is read at its end only.
    begin = connection.execute(sa.select(now(-STUCK_SECONDS - CLOCKS_APART_SECONDS))).scalar_one()
    took_one = sa.and_(Claim.id > first_id_of(begin), Claim.started_at > now(-STUCK_SECONDS))
    return any(
        connection.scalar(sa.select(sa.exists().where(Claim.worker_id == worker_id, condition)))
        for condition in (has_one, took_one)
    )


def _waits_long(connection: Connection, runtime: str, versions: Iterable[tuple[str, str]]) -> str | None:
    """A model of which a job has waited for longer than an idle worker lets it."""
    for model, digest in versions:
        job = waiting_jobs(runtime, model, digest).with_only_columns(sa.literal(1))
        if connection.scalar(job.where(Job.created_at < now(-STUCK_SECONDS)).limit(1)):
            return model
    return None


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python -m worker.health RUNTIME")
    try:
        found = fault(Database(Settings.load().database_url, pool_size=1), sys.argv[1], socket.gethostname())
    except BoxqueueError as error:
        found = str(error)
    sys.exit(found)


if __name__ == "__main__":
    main()
