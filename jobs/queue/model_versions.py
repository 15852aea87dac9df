"""Moves jobs that wait for an old version of a model to the current one."""

from collections.abc import Mapping

import sqlalchemy as sa

from jobs.clock import now
from jobs.database import Database
from jobs.queue.queries import is_queued, waiting_jobs, waiting_versions
from jobs.queue.worker_registry import live_models
from jobs.tables import Job

# Rows of one transaction: on SQLite other writers wait meanwhile.
CHUNK = 500


def move_to_current(db: Database, runtime: str, models: Mapping[str, str], *, catalogue_age: float) -> dict[str, int]:
    """Gives the current version to jobs that wait for one that no live worker serves. Returns model -> jobs moved.

    `models` maps the models that the calling worker serves to their digests. `catalogue_age`: seconds since it
    read the catalogue. Jobs accepted since then stay unchanged, because they may wait for a still newer version.
    """
    live = live_models(db)
    moved: dict[str, int] = {}
    for model, current in models.items():
        # A version that could not be loaded is not live.
        if (model, current) not in live:
            continue
        for digest in waiting_versions(db, runtime, model):
            while (model, digest) not in live and (count := _move(db, runtime, model, digest, current, catalogue_age)):
                moved[model] = moved.get(model, 0) + count
    return moved


def set_version(db: Database, job_id: str, digest: str) -> None:
    """Gives one queued job another version of its model. A job that is not queued stays unchanged."""
    db.execute(sa.update(Job).where(Job.id == job_id, is_queued).values(model_digest=digest))


def _move(db: Database, runtime: str, model: str, digest: str, current: str, catalogue_age: float) -> int:
    chosen = (
        waiting_jobs(runtime, model, digest)
        .with_only_columns(Job.id)
        .where(Job.created_at < now(-catalogue_age))
        .limit(CHUNK)
        .with_for_update(of=Job.__table__, skip_locked=True)
    )
    return db.execute(sa.update(Job).where(Job.id.in_(chosen)).values(model_digest=current))
