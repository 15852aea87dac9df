"""Retention: deletes old jobs and batches, pictures of no job, expired idempotency keys, entries of lost workers."""

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from jobs.annotated_pictures import AnnotatedPictures
from jobs.batches import OPEN_STATUSES
from jobs.clock import UtcDateTime, now
from jobs.database import Database
from jobs.errors import PictureMissing
from jobs.image_store import ImageStore
from jobs.queue import worker_registry
from jobs.tables import Batch, Claim, IdempotencyKey, Image, Job, first_id_of

# Rows of one transaction: on SQLite other writers wait meanwhile.
CHUNK = 500
# A picture is stored before the job that names it is committed, so a younger picture may still get a job.
MIN_ORPHAN_AGE_SECONDS = 3600.0
# How long the queues show that a worker was lost.
LOST_WORKERS_KEPT_SECONDS = 600.0


def apply_retention(db: Database, images: ImageStore, keep_days: float | None) -> None:
    """Deletes what is no longer needed; jobs, batches and pictures only after `keep_days` (None: never).

    Raises `DatabaseUnavailable` or `StoreUnavailable`.
    """
    db.execute(sa.delete(IdempotencyKey).where(IdempotencyKey.expires_at < now()))
    worker_registry.remove_lost(db, LOST_WORKERS_KEPT_SECONDS)
    if keep_days is None:
        return
    age = keep_days * 24 * 3600
    while db.retry(lambda connection: _delete_jobs(connection, age)):
        pass
    with db.write() as connection:
        has_jobs = sa.select(Job.id).where(Job.batch_id == Batch.id).exists()
        connection.execute(sa.delete(Batch).where(Batch.finished_at < now(-age), sa.not_(has_jobs)))
        cutoff = connection.execute(sa.select(now(-age))).scalar_one()
        # Ids are in the order of time: with a largest id younger claims are not read.
        connection.execute(sa.delete(Claim).where(Claim.id < first_id_of(cutoff), Claim.ended_at < cutoff))
    _delete_orphans(db, images, age)


def trim_annotated(db: Database, annotated: AnnotatedPictures) -> int:
    """Deletes drawn pictures of deleted jobs, and the oldest ones beyond the limit. Returns their number.

    Raises `DatabaseUnavailable` or `StoreUnavailable`.
    """

    def existing(ids: Collection[str]) -> set[str]:
        found: set[str] = set()
        asked = sorted(ids)
        for start in range(0, len(asked), CHUNK):
            with db.read() as connection:
                some = sa.select(Job.id).where(Job.id.in_(asked[start : start + CHUNK]))
                found |= set(connection.scalars(some))
        return found

    return annotated.trim(existing)


def _delete_jobs(connection: Connection, age: float) -> int:
    """Deletes up to `CHUNK` jobs that finished `age` seconds ago; by cascade their detections. Returns their number.

    Jobs of an unfinished batch stay, since its counters and its export must agree.
    """
    finished_batch = sa.select(Batch.id).where(Batch.id == Job.batch_id, Batch.finished_at < now(-age)).exists()
    cutoff = connection.execute(sa.select(now(-age))).scalar_one()
    old = (
        sa.select(Job.id)
        .where(
            # Ids are in the order of time: with a largest id younger jobs are not read.
            Job.id < first_id_of(cutoff),
            Job.finished_at < cutoff,
            Job.status.not_in(OPEN_STATUSES),
            sa.or_(Job.batch_id.is_(None), finished_batch),
        )
        .limit(CHUNK)
    )
    ids = connection.scalars(old).all()
    connection.execute(sa.delete(Job).where(Job.id.in_(ids)))
    return len(ids)


def _delete_orphans(db: Database, images: ImageStore, age: float) -> None:
    """Deletes the pictures that no job names and that were last used `age` seconds ago."""
    unnamed = sa.not_(sa.select(Job.id).where(Job.image_sha256 == Image.sha256).exists())
    place = sa.tuple_(Image.used_at, Image.sha256)
    # In the order of the index on `used_at`: in the order of the sha256 each page would read all pictures.
    orphans = (
        sa.select(Image.used_at, Image.sha256)
        .where(Image.used_at < now(-age), unnamed)
        .order_by(Image.used_at, Image.sha256)
        .limit(CHUNK)
    )
    page = orphans
    while True:
        with db.read() as connection:
            rows = connection.execute(page).all()
        for row in rows:
            _delete_orphan(db, images, row.sha256, age, unnamed)
        if len(rows) < CHUNK:
            return
        # Pictures that stay, because their bytes are too young, lie before this place.
        page = orphans.where(place > sa.tuple_(sa.literal(rows[-1].used_at, UtcDateTime()), rows[-1].sha256))


def _delete_orphan(db: Database, images: ImageStore, sha256: str, age: float, unnamed: sa.ColumnElement[bool]) -> None:
    try:
        if images.age_seconds(sha256) < MIN_ORPHAN_AGE_SECONDS:
            return
        # The age is tested again: a submit may have used the picture since, and its jobs are not visible yet.
        if db.execute(sa.delete(Image).where(Image.sha256 == sha256, Image.used_at < now(-age), unnamed)):
            images.delete_old(sha256, MIN_ORPHAN_AGE_SECONDS)
    except PictureMissing:
        db.execute(sa.delete(Image).where(Image.sha256 == sha256, unnamed))
