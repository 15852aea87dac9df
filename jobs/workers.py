"""Who is there to work: the workers' own entries, and what their queues look like."""

from collections.abc import Mapping

import sqlalchemy as sa

from jobs.batches import batch_not_cancelled
from jobs.clock import now, seconds_since
from jobs.database import Database
from jobs.tables import QUEUED, RUNNING, Job, Worker
from jobs.views import QueueView

# A worker refreshes its entry at every sweep; one that missed several is not counted on.
ALIVE_SECONDS = 30.0


def register(
    db: Database,
    worker_id: str,
    *,
    runtime: str,
    host: str,
    models: Mapping[str, str],
    device: str,
    versions: Mapping[str, str],
) -> None:
    """Enters a worker. `models` maps names to digests."""
    with db.write() as connection:
        connection.execute(
            sa.insert(Worker).values(
                id=worker_id, runtime=runtime, host=host, models=dict(models), device=device, versions=dict(versions)
            )
        )


def seen(db: Database, worker_id: str) -> bool:
    """Refreshes a worker's entry. False where it is gone: the worker was away for so long that it counted as dead."""
    with db.write() as connection:
        return connection.execute(sa.update(Worker).where(Worker.id == worker_id).values(last_seen=now())).rowcount == 1


def serves(db: Database, worker_id: str, models: Mapping[str, str]) -> None:
    """Writes anew which models a worker serves: one of them could not be loaded."""
    with db.write() as connection:
        connection.execute(sa.update(Worker).where(Worker.id == worker_id).values(models=dict(models)))


def leave(db: Database, worker_id: str) -> None:
    """Removes a worker that stops."""
    with db.write() as connection:
        connection.execute(sa.delete(Worker).where(Worker.id == worker_id))


def forget_dead(db: Database, after_seconds: float) -> None:
    """Removes the entries of workers that were not seen for so long."""
    with db.write() as connection:
        connection.execute(sa.delete(Worker).where(Worker.last_seen < now(-after_seconds)))


def live_models(db: Database) -> set[tuple[str, str]]:
    """(name, digest) of every model that a live worker serves."""
    with db.read() as connection:
        served = connection.scalars(sa.select(Worker.models).where(_alive())).all()
    return {pair for models in served for pair in models.items()}


def queues(db: Database) -> list[QueueView]:
    """Every runtime that has a job or a live worker, by name."""
    with db.read() as connection:
        waiting = connection.execute(
            sa.select(
                Job.runtime,
                Job.model,
                Job.model_digest,
                sa.func.count().label("number"),
                seconds_since(sa.func.min(Job.created_at)).label("oldest_s"),
            )
            .where(Job.status == QUEUED, batch_not_cancelled())
            .group_by(Job.runtime, Job.model, Job.model_digest)
        ).all()
        running = dict(
            connection.execute(
                sa.select(Job.runtime, sa.func.count())
                .where(Job.status == RUNNING, batch_not_cancelled())
                .group_by(Job.runtime)
            ).all()
        )
        workers = connection.execute(sa.select(Worker.runtime, Worker.models).where(_alive())).all()
    served = {pair for worker in workers for pair in worker.models.items()}
    runtimes = {row.runtime for row in (*waiting, *workers)} | set(running)
    views = []
    for runtime in sorted(runtimes):
        rows = [row for row in waiting if row.runtime == runtime]
        views.append(
            QueueView(
                runtime=runtime,
                queued=sum(row.number for row in rows),
                running=running.get(runtime, 0),
                oldest_s=max((row.oldest_s for row in rows), default=None),
                workers=sum(worker.runtime == runtime for worker in workers),
                no_worker=any((row.model, row.model_digest) not in served for row in rows),
            )
        )
    return views


def waiting_runtimes(db: Database) -> list[str]:
    """Runtimes with at least one queued job."""
    with db.read() as connection:
        return list(connection.scalars(sa.select(Job.runtime).where(Job.status == QUEUED).distinct()))


def _alive() -> sa.ColumnElement[bool]:
    return Worker.last_seen > now(-ALIVE_SECONDS)
