"""Checks whether a worker takes jobs: a process may run and still be stuck."""

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from jobs.clock import now, seconds_since
from jobs.database import Database
from jobs.queue.queries import waiting_jobs
from jobs.queue.worker_registry import LOST_SECONDS, started_within
from jobs.tables import Claim, Job, Worker

# An idle worker takes a job within a sweep, even if Redis lost its doorbell. A worker is stuck if it took no job for
# this long while one waited all that time.
STUCK_SECONDS = 60.0


def diagnose_worker(db: Database, runtime: str, host: str) -> str | None:
    """What is wrong with the worker of a queue on a host, as a sentence. None if it is healthy.

    Raises `DatabaseUnavailable`.
    """
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
            return f"No worker of the queue {runtime} on {host} is registered. Is `python -m worker` running?"
        if worker.silent_s > LOST_SECONDS:
            return f"The worker of the queue {runtime} has sent no heartbeat for {worker.silent_s:.0f} s. Restart it."
        if worker.age_s < STUCK_SECONDS or _takes_jobs(connection, worker.id):
            return None
        # Jobs of a model whose server has an outage wait for the server, not for this worker.
        served = {model: digest for model, digest in worker.models.items() if model not in (worker.outages or {})}
        if model := _model_that_waits(connection, runtime, served.items()):
            return (
                f"Jobs of {model} have waited for more than {STUCK_SECONDS:.0f} s, and this worker took no job "
                "meanwhile. Restart it."
            )
        return None


def _takes_jobs(connection: Connection, worker_id: str) -> bool:
    """Whether the worker holds a claim or took one within the last `STUCK_SECONDS`."""
    holds = sa.and_(Claim.ended_at.is_(None), Claim.expires_at > now())
    took = started_within(connection, STUCK_SECONDS)
    return any(
        connection.scalar(sa.select(sa.exists().where(Claim.worker_id == worker_id, condition)))
        for condition in (holds, took)
    )


def _model_that_waits(connection: Connection, runtime: str, versions: Iterable[tuple[str, str]]) -> str | None:
    """A model of which a job has waited for more than `STUCK_SECONDS`."""
    for model, digest in versions:
        job = waiting_jobs(runtime, model, digest).with_only_columns(sa.literal(1))
        if connection.scalar(job.where(Job.created_at < now(-STUCK_SECONDS)).limit(1)):
            return model
    return None
