"""The retention: what is kept, and what is deleted when it is old."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from jobs import batches, retention, store
from jobs.annotated_pictures import AnnotatedPictures
from jobs.database import Database
from jobs.errors import PictureMissing
from jobs.image_store import ImageStore
from jobs.queue import worker_registry
from jobs.retention import apply_retention, trim_annotated
from jobs.tables import Claim, Detection, Image, Worker, new_id
from tests.integration.jobs.engine import DIGEST, finish, new_job, picture, submit, take

A_MOMENT = 0.2 / 86400
"""Days."""


@pytest.fixture
def images(tmp_path: Path) -> ImageStore:
    store = ImageStore(f"file://{tmp_path}/images")
    store.prepare()
    return store


def put_long_ago(images: ImageStore, folder: Path, number: int) -> str:
    sha256 = picture(number).sha256
    images.put(b"bytes", sha256)
    (path,) = folder.rglob(sha256)
    os.utime(path, (0, 0))
    return sha256


def count(db: Database, table: type) -> int:
    with db.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def test_without_a_limit_nothing_is_deleted(db: Database, images: ImageStore) -> None:
    (job,) = submit(db, new_job(1))
    finish(db, take(db))
    time.sleep(0.3)

    apply_retention(db, images, keep_days=None)

    assert store.get_job(db, job.id).detections


def test_old_jobs_are_deleted_with_their_detections_and_pictures(
    db: Database, images: ImageStore, tmp_path: Path
) -> None:
    old, kept = put_long_ago(images, tmp_path, 1), put_long_ago(images, tmp_path, 2)
    batch = batches.create_batch(db, None)
    submit(db, new_job(1), batch_id=batch.id)
    batches.close_batch(db, batch.id)
    finish(db, take(db))
    time.sleep(0.3)
    submit(db, new_job(2))

    apply_retention(db, images, keep_days=A_MOMENT)

    assert [job.image and job.image.sha256 for job in store.list_jobs(db)] == [kept]
    assert (count(db, Detection), count(db, Claim), count(db, Image)) == (0, 0, 1)
    with pytest.raises(PictureMissing):
        images.get(old)
    assert images.get(kept)


def test_drawn_pictures_of_deleted_jobs_are_deleted(
    db: Database, images: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "CHUNK", 2)
    annotated = AnnotatedPictures(f"file://{tmp_path}/images", 1000)
    jobs = submit(db, *map(new_job, range(3)))
    names = [annotated.name(job_id, 1, "default") for job_id in [*(job.id for job in jobs), new_id(), new_id()]]
    for name in names:
        annotated.keep(name, b"drawn")

    assert trim_annotated(db, annotated) == 2

    assert [annotated.find(name) is not None for name in names] == [True, True, True, False, False]


def test_pictures_are_deleted_page_by_page(
    db: Database, images: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "CHUNK", 2)
    for number in range(5):
        put_long_ago(images, tmp_path, number)
    images.put(b"bytes", young := picture(0).sha256)
    submit(db, *map(new_job, range(5)))
    finish(db, take(db))
    time.sleep(0.3)

    apply_retention(db, images, keep_days=A_MOMENT)

    assert images.get(young)
    assert count(db, Image) == 1


def test_old_unfinished_jobs_and_batches_are_kept(db: Database, images: ImageStore) -> None:
    batch = batches.create_batch(db, None)
    submit(db, new_job(1), new_job(2), batch_id=batch.id)
    finish(db, take(db, most=1))
    time.sleep(0.3)

    apply_retention(db, images, keep_days=A_MOMENT)

    assert len(store.list_jobs(db, batch=batch.id)) == 2


def test_a_picture_that_was_stored_again_is_kept(db: Database, images: ImageStore, tmp_path: Path) -> None:
    sha256 = put_long_ago(images, tmp_path, 1)
    submit(db, new_job(1))
    finish(db, take(db))
    time.sleep(0.3)
    # By a request that has not committed its job yet.
    images.put(b"bytes", sha256)

    apply_retention(db, images, keep_days=A_MOMENT)

    assert images.get(sha256)


def test_workers_without_a_heartbeat_for_long_are_removed(db: Database, images: ImageStore) -> None:
    here, gone = new_id(), new_id()
    for worker in (here, gone):
        worker_registry.register(db, worker, runtime="r", host="h", models={"m": DIGEST}, device="cpu", versions={})
    with db.write() as connection:
        connection.execute(
            sa.update(Worker).where(Worker.id == gone).values(last_seen=datetime(2020, 1, 1, tzinfo=UTC))
        )

    apply_retention(db, images, keep_days=None)

    with db.read() as connection:
        assert connection.scalars(sa.select(Worker.id)).all() == [here]
