"""What becomes of jobs that wait for a version of a model when there is a new one."""

from collections.abc import Mapping

import sqlalchemy as sa

from jobs.clock import now
from jobs.database import Database
from jobs.queue.queries import is_queued, waiting_jobs, waiting_versions
from jobs.queue.worker_registry import live_models
from jobs.tables import Job

# Rows that one transaction turns: SQLite's other writers wait meanwhile.
CHUNK = 500


def move_to_current(db: Database, runtime: str, models: Mapping[str, str], *, read_ago: float) -> dict[str, int]:
    """Jobs that wait for a version which no live worker serves any more get the present one. Model -> how many did.

    `models` are what the calling worker serves, name -> digest, and `read_ago` the seconds since it read that in the
    catalogue. Jobs accepted later stay as they are: they may ask for a still newer version.
    """
    live = live_models(db)
    moved: dict[str, int] = {}
    for model, present in models.items():
        # Not to one that could not be loaded.
        if (model, present) not in live:
            continue
        for digest in waiting_versions(db, runtime, model):
            while (model, digest) not in live and (count := _move(db, runtime, model, digest, present, read_ago)):
                moved[model] = moved.get(model, 0) + count
    return moved


def set_version(db: Database, job_id: str, digest: str) -> None:
    """Gives one job that waits the present version of its model; a job that does not wait stays as it is."""
    with db.write() as connection:
        connection.execute(sa.update(Job).where(Job.id == job_id, is_queued).values(model_digest=digest))


def _move(db: Database, runtime: str, model: str, digest: str, present: str, read_ago: float) -> int:
    chosen = (
        waiting_jobs(runtime, model, digest)
        .with_only_columns(Job.id)
        .where(Job.created_at < now(-read_ago))
        .limit(CHUNK)
        .with_for_update(of=Job.__table__, skip_locked=True)
    )
    with db.write() as connection:
        return connection.execute(sa.update(Job).where(Job.id.in_(chosen)).values(model_digest=present)).rowcount
