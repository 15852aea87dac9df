"""Submitting and reading on real databases."""

import threading
from typing import Any

import pytest
import sqlalchemy as sa

from jobs import batches, idempotency, store
from jobs.clock import now, seconds_since
from jobs.database import Database
from jobs.errors import (
    BatchCancelled,
    BatchClosed,
    DatabaseUnavailable,
    JobFinished,
    KeyInFlight,
    KeyReused,
    NotFound,
    PictureEmpty,
)
from jobs.queue import worker_registry
from jobs.records import NewJob, Picture
from jobs.tables import IdempotencyKey, Job, new_id
from tests.integration.jobs.engine import BUTTON, DIGEST, finish, new_job, submit, take


def test_a_repeated_picture_gets_the_cached_answer(db: Database) -> None:
    first = submit(db, new_job(7))
    finish(db, take(db))

    (again,) = submit(db, new_job(7, cache=True))

    assert (again.status, again.repeated, again.detections) == ("succeeded", True, [BUTTON])
    assert again.id != first[0].id
    assert again.finished_at is not None


@pytest.mark.parametrize(
    "question",
    [
        new_job(8, cache=True),
        new_job(7, cache=False),
        NewJob("cards", "e" * 64, "pytorch", new_job(7).picture),
    ],
    ids=["another picture", "cache=false", "another version of the model"],
)
def test_a_job_without_a_cached_answer_is_queued(db: Database, question: NewJob) -> None:
    submit(db, new_job(7))
    finish(db, take(db))

    assert submit(db, question)[0].status == "queued"


def test_another_revision_of_the_pipeline_is_queued(db: Database) -> None:
    submit(db, new_job(7))
    finish(db, take(db))

    (job,) = store.submit(db, [new_job(7, cache=True)], pipeline=2)

    assert job.status == "queued"


def test_a_picture_that_is_sent_again_has_the_size_that_is_read_now(db: Database) -> None:
    # An older version may have taken a turned TIFF for wide.
    (first,) = submit(db, new_job())
    assert first.image
    tall = Picture(first.image.sha256, "image/tiff", 50, 100, 1234)

    (second,) = submit(db, NewJob("cards", DIGEST, "pytorch", tall, cache=False))

    assert second.image == store.get_job(db, first.id).image == tall


def test_a_refused_picture_of_a_batch_is_failed_from_the_start(db: Database) -> None:
    batch = batches.create_batch(db, None)
    refused = NewJob("cards", DIGEST, "pytorch", None, PictureEmpty("The file is empty."), source="a.png")

    good, bad = submit(db, new_job(), refused, batch_id=batch.id)

    assert (good.status, bad.status, bad.error_code, bad.image) == ("queued", "failed", "picture_empty", None)
    seen = batches.get_batch(db, batch.id)
    assert (seen.total, seen.failed, seen.pending) == (2, 1, 1)


def test_a_closed_or_cancelled_batch_takes_no_jobs(db: Database) -> None:
    closed, cancelled = batches.create_batch(db, None), batches.create_batch(db, None)
    batches.close_batch(db, closed.id)
    batches.cancel_batch(db, cancelled.id)

    with pytest.raises(BatchClosed):
        submit(db, new_job(), batch_id=closed.id)
    with pytest.raises(BatchCancelled):
        submit(db, new_job(), batch_id=cancelled.id)
    with pytest.raises(NotFound):
        submit(db, new_job(), batch_id=new_id())
    assert store.list_jobs(db) == []


def test_an_empty_batch_is_finished_when_it_is_closed(db: Database) -> None:
    assert batches.close_batch(db, batches.create_batch(db, None).id).status == "finished"


def test_pages_show_every_job_once_newest_first(db: Database) -> None:
    submitted = [job.id for number in range(7) for job in submit(db, new_job(number))]

    pages, after = [], None
    while page := store.list_jobs(db, after=after, limit=3):
        pages.append([job.id for job in page])
        after = page[-1].id

    assert [len(page) for page in pages] == [3, 3, 1]
    assert [job_id for page in pages for job_id in page] == submitted[::-1]


def test_jobs_are_found_by_what_was_detected(db: Database) -> None:
    submit(db, new_job(1))
    finish(db, take(db))
    submit(db, new_job(2))

    assert len(store.list_jobs(db, label="button")) == 1
    assert len(store.list_jobs(db, label="button", min_score=0.95)) == 0
    assert len(store.list_jobs(db, label="image")) == 0
    assert len(store.list_jobs(db, status="queued", model="cards")) == 1


def test_the_results_of_a_batch_are_complete_over_several_pages(db: Database) -> None:
    batch = batches.create_batch(db, None)
    submitted = submit(db, *(new_job(number) for number in range(9)), batch_id=batch.id)
    finish(db, take(db, most=7))

    results = list(store.batch_results(db, batch.id, page=3))

    assert [job.id for job in results] == [job.id for job in submitted[:7]]


def test_open_jobs_of_a_cancelled_batch_are_among_its_results_and_finished(db: Database) -> None:
    batch = batches.create_batch(db, None)
    submitted = [job.id for job in submit(db, *(new_job(number) for number in range(3)), batch_id=batch.id)]
    finish(db, take(db, most=1))
    take(db, most=1)

    batches.cancel_batch(db, batch.id)

    results = list(store.batch_results(db, batch.id))
    assert [(job.id, job.status) for job in results] == [
        *zip(submitted, ("succeeded", "cancelled", "cancelled"), strict=True)
    ]
    assert store.unfinished(db, submitted) == set()


def test_cancelling_a_finished_job_is_refused(db: Database) -> None:
    (job,) = submit(db, new_job())
    finish(db, take(db))

    with pytest.raises(JobFinished):
        store.cancel_job(db, job.id)


def test_cancelling_counts_in_the_batch_once(db: Database) -> None:
    batch = batches.create_batch(db, None)
    (job,) = submit(db, new_job(), batch_id=batch.id)
    batches.close_batch(db, batch.id)

    store.cancel_job(db, job.id)
    store.cancel_job(db, job.id)

    seen = batches.get_batch(db, batch.id)
    assert (seen.cancelled, seen.status) == (1, "finished")


def test_an_idempotency_key_gives_the_same_jobs(db: Database) -> None:
    assert idempotency.reserve_key(db, "k", "print") is None
    with pytest.raises(KeyInFlight):
        idempotency.reserve_key(db, "k", "print")
    (job,) = store.submit(db, [new_job()], pipeline=1, key="k")

    assert idempotency.reserve_key(db, "k", "print") == [job.id]
    with pytest.raises(KeyReused):
        idempotency.reserve_key(db, "k", "another print")
    with db.read() as connection:
        (kept,) = connection.execute(sa.select(-seconds_since(IdempotencyKey.expires_at))).one()
    assert kept == pytest.approx(24 * 3600, abs=600)


def test_of_two_requests_with_one_key_the_first_to_commit_creates_the_jobs(db: Database) -> None:
    """The first one is so slow that its key was free again when the second one came."""
    idempotency.reserve_key(db, "k", "print")
    with db.write() as connection:
        connection.execute(sa.update(IdempotencyKey).values(expires_at=now(-1)))
    assert idempotency.reserve_key(db, "k", "print") is None

    (job,) = store.submit(db, [new_job()], pipeline=1, key="k")
    with pytest.raises(KeyInFlight):
        store.submit(db, [new_job()], pipeline=1, key="k")

    assert idempotency.reserve_key(db, "k", "print") == [job.id]
    assert [one.id for one in store.list_jobs(db)] == [job.id]


def test_the_key_of_a_request_that_crashed_is_soon_free(db: Database) -> None:
    idempotency.reserve_key(db, "k", "print")

    with db.read() as connection:
        (kept,) = connection.execute(sa.select(-seconds_since(IdempotencyKey.expires_at))).one()
    assert kept <= 20


def test_an_expired_key_makes_new_jobs(db: Database) -> None:
    idempotency.reserve_key(db, "k", "print")
    store.submit(db, [new_job()], pipeline=1, key="k")
    with db.write() as connection:
        connection.execute(sa.update(IdempotencyKey).values(expires_at=now(-1)))

    assert idempotency.known_jobs(db, "k", "print") is None


def test_a_dropped_key_is_free_again(db: Database) -> None:
    idempotency.reserve_key(db, "k", "print")
    idempotency.drop_key(db, "k")

    assert idempotency.reserve_key(db, "k", "another print") is None


def test_queues_show_waiting_jobs_and_that_no_worker_is_alive(db: Database) -> None:
    submit(db, *(new_job(number) for number in range(5)))
    take(db, most=2)

    (queue,) = worker_registry.queues(db)
    assert (queue.runtime, queue.queued, queue.running, queue.workers, queue.no_worker) == ("pytorch", 3, 2, 0, True)
    assert queue.oldest_s is not None
    assert queue.oldest_s >= 0

    worker = new_id()
    worker_registry.register(
        db, worker, runtime="pytorch", host="h", models={"cards": DIGEST}, device="cpu", versions={}
    )
    (queue,) = worker_registry.queues(db)
    assert (queue.workers, queue.no_worker) == (1, False)
    assert worker_registry.live_models(db) == {("cards", DIGEST)}
    worker_registry.unregister(db, worker)
    assert worker_registry.queues(db)[0].no_worker


def test_a_copied_answer_keeps_its_detections_while_the_old_one_is_deleted(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The retention deletes a stored answer after a submit has found it and before it is copied."""
    (old,) = submit(db, new_job(7))
    finish(db, take(db))
    copy = store.copy_detections

    def delete() -> None:
        with db.write() as connection:
            connection.execute(sa.delete(Job).where(Job.id == old.id))

    deleting = threading.Thread(target=delete)

    def copy_late(*arguments: Any) -> None:
        deleting.start()
        deleting.join(0.5)
        copy(*arguments)

    monkeypatch.setattr(store, "copy_detections", copy_late)
    (again,) = submit(db, new_job(7, cache=True))
    deleting.join()

    assert (again.status, again.detections) == ("succeeded", [BUTTON])


def test_a_database_that_became_read_only_is_an_outage(migrated_postgres: str) -> None:
    db = Database(migrated_postgres, pool_size=1)
    # Like a standby before a failover makes it the primary.
    with db.read() as connection:
        name = connection.engine.url.database
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        connection.commit()
    db.engine.dispose()
    with pytest.raises(DatabaseUnavailable):
        batches.create_batch(db, None)
    with db.read() as connection:
        assert connection.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar() == "15s"
    db.close()
