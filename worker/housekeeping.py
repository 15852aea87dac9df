"""What piles up and is taken away: old answers, pictures nobody names, used idempotency keys, dead workers' entries."""

import logging

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from jobs.clock import UtcDateTime, now
from jobs.database import Database
from jobs.errors import PictureMissing
from jobs.image_store import ImageStore
from jobs.queue import worker_registry
from jobs.tables import QUEUED, RUNNING, Batch, Claim, IdempotencyKey, Image, Job, first_id_of

log = logging.getLogger(__name__)

DAY_SECONDS = 86400.0
# Rows a transaction: other writers wait meanwhile on SQLite.
CHUNK = 500
# A picture is put into the store before the job that names it is committed; nothing younger is an orphan.
YOUNGEST_ORPHAN_SECONDS = 3600.0
# So long an operator sees that workers were lost.
DEAD_WORKERS_KEPT_SECONDS = 600.0


def apply_retention(db: Database, images: ImageStore, keep_days: float | None) -> None:
    """Takes away what is no longer needed; answers only past `keep_days` (None: they stay for ever).

    Raises `DatabaseUnavailable` or `StoreUnavailable`.
    """
    with db.write() as connection:
        connection.execute(sa.delete(IdempotencyKey).where(IdempotencyKey.expires_at < now()))
    worker_registry.remove_dead(db, DEAD_WORKERS_KEPT_SECONDS)
    if keep_days is None:
        return
    age = keep_days * DAY_SECONDS
    while db.retry(lambda connection: _delete_jobs(connection, age)):
        pass
    with db.write() as connection:
        unused = sa.not_(sa.select(Job.id).where(Job.batch_id == Batch.id).exists())
        connection.execute(sa.delete(Batch).where(Batch.finished_at < now(-age), unused))
        cutoff = connection.execute(sa.select(now(-age))).scalar_one()
        # By id, as the jobs: so that claims younger than that are not even looked at.
        connection.execute(sa.delete(Claim).where(Claim.id < first_id_of(cutoff), Claim.ended_at < cutoff))
    _delete_orphans(db, images, age)


def _delete_jobs(connection: Connection, age: float) -> int:
    """Deletes some jobs (and by cascade their detections) that finished so long ago and belong to no unfinished
    batch: its counters and its export must agree."""
    finished_batch = sa.select(Batch.id).where(Batch.id == Job.batch_id, Batch.finished_at < now(-age)).exists()
    cutoff = connection.execute(sa.select(now(-age))).scalar_one()
    old = (
        sa.select(Job.id)
        .where(
            # What finished before was made before: ids are in the order of time, so only old rows are looked at.
            Job.id < first_id_of(cutoff),
            Job.finished_at < cutoff,
            Job.status.not_in((QUEUED, RUNNING)),
            sa.or_(Job.batch_id.is_(None), finished_batch),
        )
        .limit(CHUNK)
    )
    ids = connection.scalars(old).all()
    connection.execute(sa.delete(Job).where(Job.id.in_(ids)))
    return len(ids)


def _delete_orphans(db: Database, images: ImageStore, age: float) -> None:
    unnamed = sa.not_(sa.select(Job.id).where(Job.image_sha256 == Image.sha256).exists())
    place = sa.tuple_(Image.used_at, Image.sha256)
    # In the order of an index on the age: in that of the names each page would read all pictures.
    orphans = (
        sa.select(Image.used_at, Image.sha256)
        .where(Image.used_at < now(-age), unnamed)
        .order_by(Image.used_at, Image.sha256)
    )
    page = orphans
    while True:
        with db.read() as connection:
            rows = connection.execute(page).all()
        for row in rows:
            _delete_orphan(db, images, row.sha256, age, unnamed)
        if len(rows) < CHUNK:
            return
        # Those that stay for now (their bytes are too young) are behind it.
        page = orphans.where(place > sa.tuple_(sa.literal(rows[-1].used_at, UtcDateTime()), rows[-1].sha256))


def _delete_orphan(db: Database, images: ImageStore, sha256: str, age: float, unnamed: sa.ColumnElement[bool]) -> None:
    try:
        if images.age_seconds(sha256) < YOUNGEST_ORPHAN_SECONDS:
            return
        with db.write() as connection:
            gone = connection.execute(
                # Its age again: a submit that was quicker has changed the row, though its jobs can't be seen yet.
                sa.delete(Image).where(Image.sha256 == sha256, Image.used_at < now(-age), unnamed)
            ).rowcount
        if gone:
            images.delete_old(sha256, YOUNGEST_ORPHAN_SECONDS)
    except PictureMissing:
        with db.write() as connection:
            connection.execute(sa.delete(Image).where(Image.sha256 == sha256, unnamed))
