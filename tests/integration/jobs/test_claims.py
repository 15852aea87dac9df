"""Claims on real databases: order, fairness, fencing tokens, counters."""

import threading
from collections import Counter

import sqlalchemy as sa

from jobs import batches, store
from jobs.database import Database
from jobs.queue import claims, recovery
from jobs.queue.claims import Outcome
from jobs.records import ClaimableModel
from jobs.tables import Job, new_id
from tests.integration.jobs.engine import BUTTON, answer, finish, ids, new_job, submit, take, take_any


def test_a_claim_takes_the_first_job_and_more_of_its_model(db: Database) -> None:
    other = submit(db, new_job(model="forms"))
    mine = submit(db, *(new_job(number) for number in range(5)))

    held = take(db, most=3)

    assert ids(held) == [job.id for job in mine[:3]]
    assert store.get_job(db, mine[0].id).status == "running"
    assert store.get_job(db, other[0].id).status == "queued"


def test_a_worker_claims_no_job_of_another_model_version(db: Database) -> None:
    submit(db, new_job())

    held = claims.claim(
        db, "pytorch", {"cards": ClaimableModel("another digest", 8)}, worker_id=new_id(),
        task_id="t", lease_seconds=15,
    )  # fmt: skip

    assert held is None


def test_higher_priority_goes_first(db: Database) -> None:
    submit(db, new_job(1, priority=-10), new_job(2, priority=0))
    urgent = submit(db, new_job(3, priority=5))

    assert ids(take(db, most=1)) == [urgent[0].id]


def test_a_big_batch_does_not_hold_up_a_small_one(db: Database) -> None:
    big, small = batches.create_batch(db, "big"), batches.create_batch(db, "small")
    submit(db, *(new_job(number) for number in range(300)), batch_id=big.id)
    finish(db, take(db, most=50))
    wanted = {job.id for job in submit(db, *(new_job(number) for number in range(10)), batch_id=small.id)}

    taken: set[str] = set()
    for _ in range(3):
        held = take(db, most=8)
        taken |= set(ids(held))
        finish(db, held)

    assert wanted <= taken


def test_a_batch_of_many_requests_gets_no_more_turns_than_another(db: Database) -> None:
    first, second = batches.create_batch(db, None), batches.create_batch(db, None)
    for number in range(0, 24, 2):
        submit(db, new_job(number), new_job(number + 1), batch_id=first.id)
    submit(db, *(new_job(number) for number in range(8)), batch_id=second.id)

    taken = store.get_jobs(db, ids(take(db, most=16)))

    assert Counter(job.batch_id for job in taken) == {first.id: 8, second.id: 8}


def test_a_single_job_behind_a_big_batch_is_claimed_next(db: Database) -> None:
    batch = batches.create_batch(db, None)
    submit(db, *(new_job(number) for number in range(300)), batch_id=batch.id)
    finish(db, take(db, most=50))
    lone = submit(db, new_job(1))

    assert lone[0].id in [*ids(take(db, most=8)), *ids(take(db, most=8))]


def test_two_workers_never_hold_the_same_job(db: Database) -> None:
    submitted = {job.id for job in submit(db, *(new_job(number) for number in range(120)))}
    seen: Counter[str] = Counter()
    lock = threading.Lock()

    def work() -> None:
        while held := take_any(db, most=7):
            written = finish(db, held)
            with lock:
                seen.update(written)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(seen) == submitted
    assert set(seen.values()) == {1}


def test_answers_are_stored_and_counted(db: Database) -> None:
    batch = batches.create_batch(db, None)
    jobs = submit(db, new_job(1), new_job(2), batch_id=batch.id)
    batches.close_batch(db, batch.id)
    held = take(db)

    outcomes = [Outcome(jobs[0].id, [BUTTON], timings_ms={"decode": 2.0}), Outcome(jobs[1].id, None, "broken", "Torn.")]
    written = claims.finish(db, held, outcomes, device="cpu")

    assert written == {jobs[0].id, jobs[1].id}
    first, second = store.get_jobs(db, [jobs[0].id, jobs[1].id])
    assert (first.status, first.detections, first.device, first.timings_ms) == (
        "succeeded", [BUTTON], "cpu", {"decode": 2.0},
    )  # fmt: skip
    assert (second.status, second.detections, second.error_code) == ("failed", None, "broken")
    seen = batches.get_batch(db, batch.id)
    assert (seen.status, seen.total, seen.succeeded, seen.failed, seen.pending) == ("finished", 2, 1, 1, 0)


def test_finishing_twice_changes_nothing_and_returns_the_same(db: Database) -> None:
    batch = batches.create_batch(db, None)
    submit(db, new_job(1), batch_id=batch.id)
    held = take(db)

    first = finish(db, held)
    again = finish(db, held)

    assert first == again == set(ids(held))
    assert batches.get_batch(db, batch.id).succeeded == 1


def test_a_job_is_answered_only_with_the_token_of_its_claim(db: Database) -> None:
    mine, others = submit(db, new_job(1), new_job(2))
    held = take(db)
    with db.write() as connection:
        connection.execute(sa.update(Job).where(Job.id == others.id).values(claim_id=new_id()))

    assert finish(db, held) == {mine.id}
    assert store.get_job(db, others.id).status == "running"


def test_a_returned_job_is_queued_without_a_crash(db: Database) -> None:
    (job,) = submit(db, new_job())
    claims.give_back(db, take(db))

    waiting = store.get_job(db, job.id)
    assert (waiting.status, waiting.deaths, waiting.started_at) == ("queued", 0, None)
    assert not take(db).alone


def test_the_result_of_a_cancelled_job_is_dropped(db: Database) -> None:
    first, second = submit(db, new_job(1), new_job(2))
    held = take(db)
    store.cancel_job(db, first.id)

    assert finish(db, held) == {second.id}
    assert store.get_job(db, first.id).status == "cancelled"


def test_cancelling_a_batch_counts_at_once(db: Database) -> None:
    batch = batches.create_batch(db, None)
    submit(db, *(new_job(number) for number in range(20)), batch_id=batch.id)
    held = take(db, most=4)

    batches.cancel_batch(db, batch.id)

    # Before any row is changed:
    seen = batches.get_batch(db, batch.id)
    assert (seen.status, seen.cancelled, seen.pending) == ("cancelled", 20, 0)
    assert {job.status for job in store.list_jobs(db, batch=batch.id)} == {"cancelled"}
    assert take_any(db) is None
    assert finish(db, held) == set()
    # After all rows are changed:
    assert batches.cancelling_batches(db) == [batch.id]
    while batches.cancel_rows(db, batch.id):
        pass
    assert batches.cancelling_batches(db) == []
    assert batches.get_batch(db, batch.id).cancelled == 20


def test_an_answer_is_dropped_if_its_batch_is_cancelled_in_the_same_moment(db: Database) -> None:
    """The batch is cancelled after the token is checked and before the job is counted. Nothing may be written."""
    batch = batches.create_batch(db, None)
    (job,) = submit(db, new_job(1), batch_id=batch.id)
    held = take(db)
    if db.is_sqlite:
        # SQLite has one writer at a time, so the cancellation can only be committed before.
        batches.cancel_batch(db, batch.id)
        assert claims.finish(db, held, answer(held), device="cpu") == set()
    else:
        with db.write() as cancelling:
            # Locks the batch's row: the finisher tests the token, then waits for the counter.
            batches.lock_batch(cancelling, batch.id)
            results: list[set[str]] = []
            finisher = threading.Thread(target=lambda: results.append(finish(db, held)))
            finisher.start()
            finisher.join(0.5)
            assert not results
            cancelling.exec_driver_sql("UPDATE batches SET cancelled_at = now()")
        finisher.join()
        assert results == [set()]
    assert store.get_job(db, job.id).status == "cancelled"


def test_a_heartbeat_keeps_only_held_claims(db: Database) -> None:
    submit(db, new_job(1), new_job(2))
    kept, ended = take(db, most=1), take(db, most=1)
    finish(db, ended)

    assert claims.extend_leases(db, [kept.id, ended.id], 15) == {kept.id}


def test_a_heartbeat_extends_the_lease(db: Database) -> None:
    submit(db, new_job())
    held = take(db, lease=-1)

    claims.extend_leases(db, [held.id], 15)

    assert recovery.expire_leases(db) == set()
    assert finish(db, held) == set(ids(held))
