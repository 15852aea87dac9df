"""What waits in a queue, in the order in which it is taken."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from jobs.batches import batch_not_cancelled
from jobs.clock import seconds_since
from jobs.database import AnyRow, Database
from jobs.records import ClaimableModel
from jobs.tables import QUEUED, Job

# Written out as the partial indexes have it, so that PostgreSQL can use them also where it keeps one plan of a prepared
# statement for all values of its parameters.
is_queued = Job.status == sa.literal_column(f"'{QUEUED}'")


def waiting_jobs(runtime: str, model: str, digest: str) -> sa.Select[*tuple[Any, ...]]:
    """The queued jobs of one version of a model, by (priority, turn, id): an index has them in this order."""
    return (
        sa.select(Job.id, Job.priority, Job.turn, Job.model)
        .where(Job.runtime == runtime, Job.model == model, Job.model_digest == digest, is_queued, batch_not_cancelled())
        .order_by(Job.priority.desc(), Job.turn, Job.id)
    )


def models_by_first_job(connection: Connection, runtime: str, models: Mapping[str, ClaimableModel]) -> list[str]:
    """Those of the models that jobs wait for, the one with the first job of all at the front.

    The first job of each is looked up on its own: in the
    order of the whole queue, a backlog that this worker does not serve (of an older version, for one) would be read
    from end to end for every claim.
    """
    if not models:
        return []
    firsts = [waiting_jobs(runtime, name, model.digest).limit(1).subquery() for name, model in models.items()]
    found = sa.union_all(*(sa.select(*first.c) for first in firsts)).subquery()
    in_order = sa.select(found.c.model).order_by(found.c.priority.desc(), found.c.turn, found.c.id)
    return list(connection.scalars(in_order))


def queue_depths(connection: Connection, runtime: str | None = None) -> Sequence[AnyRow]:
    """What waits, of each version of a model and priority: rows of runtime, model, model_digest, priority, number and
    oldest_s, the age of the oldest one.

    Read from the index alone, in its order; it takes as long as the queue is deep, all the same.
    """
    key = (Job.runtime, Job.model, Job.model_digest, Job.priority)
    depths = (
        sa.select(
            *key,
            sa.func.count().label("number"),
            seconds_since(sa.func.min(Job.created_at)).label("oldest_s"),
        )
        .where(is_queued, batch_not_cancelled())
        .group_by(*key)
    )
    if runtime is not None:
        depths = depths.where(Job.runtime == runtime)
    return connection.execute(depths).all()


def has_waiting(db: Database, runtime: str, models: Mapping[str, ClaimableModel]) -> bool:
    """Whether a job waits for one of these models: a cheap look, which may be out of date at once."""
    with db.read() as connection:
        return bool(models_by_first_job(connection, runtime, models))


def waiting_runtimes(db: Database) -> list[str]:
    """Runtimes with at least one queued job, by name."""
    return _distinct(db, Job.runtime)


def waiting_versions(db: Database, runtime: str, model: str) -> list[str]:
    """Digests of the versions of a model with at least one queued job."""
    return _distinct(db, Job.model_digest, Job.runtime == runtime, Job.model == model)


def _distinct(
    db: Database, column: sa.orm.InstrumentedAttribute[str], *conditions: sa.ColumnElement[bool]
) -> list[str]:
    """Values of a column among the queued jobs."""
    found: list[str] = []
    following = sa.select(sa.func.min(column)).where(*conditions, is_queued)
    with db.read() as connection:
        # From one to the next in the index: DISTINCT would read the whole queue at every sweep.
        while value := connection.scalar(following.where(column > found[-1]) if found else following):
            found.append(value)
    return found
