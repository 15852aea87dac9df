"""Queries for the jobs that wait in a queue, in the order in which they are claimed."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from jobs.batches import batch_not_cancelled
from jobs.clock import seconds_since
from jobs.database import AnyRow, Database
from jobs.records import ClaimableModel
from jobs.tables import QUEUED, Job

# Written as in the partial indexes, not as a parameter, so that PostgreSQL uses them also for a generic plan of a
# prepared statement.
is_queued = Job.status == sa.literal_column(f"'{QUEUED}'")


def waiting_jobs(runtime: str, model: str, digest: str) -> sa.Select[*tuple[Any, ...]]:
    """The queued jobs of one model version by (priority, turn, id), which is the order of an index."""
    return (
        sa.select(Job.id, Job.priority, Job.turn, Job.model)
        .where(Job.runtime == runtime, Job.model == model, Job.model_digest == digest, is_queued, batch_not_cancelled)
        .order_by(Job.priority.desc(), Job.turn, Job.id)
    )


def models_by_first_job(connection: Connection, runtime: str, models: Mapping[str, ClaimableModel]) -> list[str]:
    """Names of the models with queued jobs, in the order of the first job of each.

    The first job of each model is queried on its own. One query for the whole queue would read all jobs that this
    worker does not serve, for example those of an older version, for every claim.
    """
    if not models:
        return []
    firsts = [waiting_jobs(runtime, name, model.digest).limit(1).subquery() for name, model in models.items()]
    found = sa.union_all(*(sa.select(*first.c) for first in firsts)).subquery()
    in_order = sa.select(found.c.model).order_by(found.c.priority.desc(), found.c.turn, found.c.id)
    return list(connection.scalars(in_order))


def queue_depths(connection: Connection, runtime: str | None = None) -> Sequence[AnyRow]:
    """The queued jobs of each model version and priority.

    Rows of runtime, model, model_digest, priority, number of jobs, and oldest_s, the age of the oldest in seconds. They
    are read from the index alone, in its order, but the time still grows with the depth of the queue.
    """
    key = (Job.runtime, Job.model, Job.model_digest, Job.priority)
    depths = (
        sa.select(*key, sa.func.count().label("number"), seconds_since(sa.func.min(Job.created_at)).label("oldest_s"))
        .where(is_queued, batch_not_cancelled)
        .group_by(*key)
    )
    if runtime is not None:
        depths = depths.where(Job.runtime == runtime)
    return connection.execute(depths).all()


def has_waiting(db: Database, runtime: str, models: Mapping[str, ClaimableModel]) -> bool:
    """Whether a job waits for one of these models. The query is cheap, but its answer may soon be out of date."""
    with db.read() as connection:
        return bool(models_by_first_job(connection, runtime, models))


def waiting_runtimes(db: Database) -> list[str]:
    """Runtimes with at least one queued job, by name."""
    return _distinct(db, Job.runtime)


def waiting_versions(db: Database, runtime: str, model: str) -> list[str]:
    """Digests of those versions of a model that have a queued job."""
    return _distinct(db, Job.model_digest, Job.runtime == runtime, Job.model == model)


def _distinct(
    db: Database, column: sa.orm.InstrumentedAttribute[str], *conditions: sa.ColumnElement[bool]
) -> list[str]:
    """The different values of a column in the queued jobs, in ascending order."""
    found: list[str] = []
    following = sa.select(sa.func.min(column)).where(*conditions, is_queued)
    with db.read() as connection:
        # One index lookup for each value: DISTINCT would read the whole queue at every sweep.
        while value := connection.scalar(following.where(column > found[-1]) if found else following):
            found.append(value)
    return found
