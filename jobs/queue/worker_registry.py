"""The worker registry: each worker's entry, its heartbeat and outages, and the state of the queues."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from jobs.batches import batch_not_cancelled
from jobs.clock import now
from jobs.database import AnyRow, Database
from jobs.queue.queries import queue_depths
from jobs.records import Build, Outage, QueueRecord, Unserved
from jobs.tables import FINISHED, RUNNING, Claim, Job, Worker, first_id_of

# Seconds between two heartbeats of a worker. After three missing heartbeats it counts as lost.
HEARTBEAT_SECONDS = 3.0
LOST_SECONDS = 4 * HEARTBEAT_SECONDS
RATE_SECONDS = 60.0
# The largest difference between the database's clock and the clocks of workers, from which claims get their ids.
MAX_CLOCK_SKEW_SECONDS = 30.0


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
    """Registers a worker. `models` maps names to digests."""
    db.execute(
        sa.insert(Worker).values(
            id=worker_id, runtime=runtime, host=host, models=dict(models), device=device, versions=dict(versions)
        )
    )


def refresh(db: Database, worker_id: str) -> bool:
    """The heartbeat of a worker. False if it has no entry any more, because it was silent for too long."""
    return db.execute(sa.update(Worker).where(Worker.id == worker_id).values(last_seen=now())) == 1


def set_models(db: Database, worker_id: str, models: Mapping[str, str]) -> None:
    """Sets the models that a worker serves, name -> digest, after a change of the catalogue."""
    db.execute(sa.update(Worker).where(Worker.id == worker_id).values(models=dict(models)))


def remove_model(db: Database, worker_id: str, model: str, digest: str) -> None:
    """Removes one version of a model from a worker's entry, because it could not be loaded."""
    with db.write() as connection:
        models = connection.scalar(sa.select(Worker.models).where(Worker.id == worker_id).with_for_update()) or {}
        if models.pop(model, None) == digest:
            connection.execute(sa.update(Worker).where(Worker.id == worker_id).values(models=models))


def record_outage(db: Database, worker_id: str, model: str, code: str, message: str) -> None:
    """Writes into a worker's entry why it takes no jobs of a model at present."""
    with db.write() as connection:
        outages = _outages_of(connection, worker_id)
        since = outages.get(model, {}).get("since") or connection.execute(sa.select(now())).scalar_one().isoformat()
        outages[model] = {"code": code, "message": message, "since": since}
        connection.execute(sa.update(Worker).where(Worker.id == worker_id).values(outages=outages))


def clear_outage(db: Database, worker_id: str, model: str) -> None:
    """Removes the outage of a model from a worker's entry."""
    with db.write() as connection:
        outages = _outages_of(connection, worker_id)
        if outages.pop(model, None):
            connection.execute(sa.update(Worker).where(Worker.id == worker_id).values(outages=outages))


def unregister(db: Database, worker_id: str) -> None:
    """Removes the entry of a worker that stops."""
    db.execute(sa.delete(Worker).where(Worker.id == worker_id))


def remove_lost(db: Database, after_seconds: float) -> None:
    """Removes the entries of workers whose last heartbeat is older than `after_seconds`."""
    db.execute(sa.delete(Worker).where(Worker.last_seen < now(-after_seconds)))


def live_models(db: Database) -> set[tuple[str, str]]:
    """(name, digest) of every model that a live worker serves."""
    with db.read() as connection:
        served = connection.scalars(sa.select(Worker.models).where(_alive())).all()
    return {pair for models in served for pair in models.items()}


def live_workers(connection: Connection) -> dict[str, int]:
    """Runtime -> number of live workers."""
    query = sa.select(Worker.runtime, sa.func.count()).where(_alive()).group_by(Worker.runtime)
    return dict(connection.execute(query).all())


def rates(connection: Connection) -> dict[str, float]:
    """Runtime -> jobs a second that workers claimed in the last minute, without claims that were lost or given back."""
    taken = sa.select(Claim.runtime, sa.func.sum(Claim.size)).where(
        started_within(connection, RATE_SECONDS), sa.or_(Claim.outcome.is_(None), Claim.outcome == FINISHED)
    )
    return {runtime: size / RATE_SECONDS for runtime, size in connection.execute(taken.group_by(Claim.runtime)).all()}


def started_within(connection: Connection, seconds: float) -> sa.ColumnElement[bool]:
    """Condition: the claim started within the last `seconds`."""
    # Ids are in the order of time: with a smallest id only the end of the long table is read.
    begin = connection.execute(sa.select(now(-seconds - MAX_CLOCK_SKEW_SECONDS))).scalar_one()
    return sa.and_(Claim.id > first_id_of(begin), Claim.started_at > now(-seconds))


def queues(db: Database) -> list[QueueRecord]:
    """The queue of every runtime that has a job or a worker, by name."""
    with db.read() as connection:
        waiting = queue_depths(connection)
        is_late = sa.and_(Claim.ended_at.is_(None), Claim.expires_at < now())
        running = connection.execute(
            sa.select(
                Job.runtime, sa.func.count().label("number"), sa.func.sum(sa.case((is_late, 1), else_=0)).label("late")
            )
            .outerjoin(Claim, Claim.id == Job.claim_id)
            .where(Job.status == RUNNING, batch_not_cancelled)
            .group_by(Job.runtime)
        ).all()
        workers = connection.execute(
            sa.select(
                Worker.runtime, Worker.models, Worker.outages, Worker.device, Worker.versions, _alive().label("alive")
            )
        ).all()
        taken = rates(connection)
    served = {pair for worker in workers if worker.alive for pair in worker.models.items()}
    records = []
    for runtime in sorted({row.runtime for row in (*waiting, *running, *workers)}):
        rows = [row for row in waiting if row.runtime == runtime]
        has = next((row for row in running if row.runtime == runtime), None)
        own = [worker for worker in workers if worker.runtime == runtime]
        alive = [worker for worker in own if worker.alive]
        records.append(
            QueueRecord(
                runtime=runtime,
                queued=sum(row.number for row in rows),
                oldest_s=max((row.oldest_s for row in rows), default=None),
                rate_per_s=taken.get(runtime, 0.0),
                running=has.number if has else 0,
                late=int(has.late) if has else 0,
                workers=len(alive),
                workers_lost=len(own) - len(alive),
                unserved=_unserved(rows, served),
                builds=_builds(alive),
                outages=_outages(alive),
            )
        )
    return records


def _unserved(rows: Sequence[AnyRow], served: Collection[tuple[str, str]]) -> tuple[Unserved, ...]:
    number: Counter[tuple[str, str]] = Counter()
    for row in rows:
        number[row.model, row.model_digest] += row.number
    return tuple(Unserved(*version, number[version]) for version in sorted(number) if version not in served)


def _builds(workers: Sequence[AnyRow]) -> tuple[Build, ...]:
    """Workers by device and versions, the most frequent first."""
    number = Counter((worker.device, tuple(sorted(worker.versions.items()))) for worker in workers)
    return tuple(Build(count, device, dict(versions)) for (device, versions), count in number.most_common())


def _outages(workers: Sequence[AnyRow]) -> tuple[Outage, ...]:
    """The oldest outage of each model, by name."""
    outages = [
        Outage(model, one["code"], one["message"], datetime.fromisoformat(one["since"]))
        for worker in workers
        for model, one in (worker.outages or {}).items()
    ]
    oldest = {outage.model: outage for outage in sorted(outages, key=lambda outage: outage.since, reverse=True)}
    return tuple(oldest[model] for model in sorted(oldest))


def _outages_of(connection: Connection, worker_id: str) -> dict[str, Any]:
    return connection.scalar(sa.select(Worker.outages).where(Worker.id == worker_id).with_for_update()) or {}


def _alive() -> sa.ColumnElement[bool]:
    return Worker.last_seen > now(-LOST_SECONDS)
