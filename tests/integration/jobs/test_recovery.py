"""Recovery on real databases: jobs whose claim ended without an answer are requeued or fail."""

import pytest
import sqlalchemy as sa

from jobs import batches, store
from jobs.database import Database
from jobs.queue import claims, recovery
from jobs.queue.claims import HeldClaim
from jobs.tables import Claim, Job
from tests.integration.jobs.engine import finish, ids, new_job, submit, take


def test_a_crash_of_several_jobs_makes_suspects_that_are_claimed_alone(db: Database) -> None:
    jobs = submit(db, *(new_job(number) for number in range(3)))
    take(db, task="doomed")

    assert recovery.record_crash(db, "doomed") == {"pytorch"}

    for job in jobs:
        held = take(db)
        assert held.alone
        assert ids(held) == [job.id]
        assert store.get_job(db, job.id).deaths == 0
        finish(db, held)
    assert {job.status for job in store.get_jobs(db, [job.id for job in jobs])} == {"succeeded"}


def test_a_suspect_is_never_claimed_with_other_jobs(db: Database) -> None:
    submit(db, *(new_job(number) for number in range(2)))
    take(db, task="doomed")
    recovery.record_crash(db, "doomed")
    others = {job.id for job in submit(db, *(new_job(number) for number in range(2, 5)))}

    claimed = [take(db) for _ in range(3)]

    assert [(held.alone, len(held.jobs)) for held in claimed] == [(True, 1), (True, 1), (False, 3)]
    assert set(ids(claimed[2])) == others


def test_a_crash_with_two_claims_counts_against_none_of_their_jobs(db: Database) -> None:
    first, second = submit(db, new_job(1), new_job(2))
    take(db, most=1, task="doomed")
    take(db, most=1, task="doomed")

    recovery.record_crash(db, "doomed")

    assert [job.deaths for job in store.get_jobs(db, [first.id, second.id])] == [0, 0]


@pytest.mark.parametrize("code", [recovery.WORKER_LOST, recovery.TIMED_OUT, recovery.OUT_OF_MEMORY])
def test_a_job_fails_after_two_crashes(db: Database, code: str) -> None:
    batch = batches.create_batch(db, None)
    (job,) = submit(db, new_job(), batch_id=batch.id)
    batches.close_batch(db, batch.id)

    take(db, task="first")
    recovery.record_crash(db, "first", cause=code)
    assert store.get_job(db, job.id).status == "queued"
    take(db, task="second")
    recovery.record_crash(db, "second", cause=code)

    failed = store.get_job(db, job.id)
    assert (failed.status, failed.error_code, failed.deaths) == ("failed", code, 2)
    seen = batches.get_batch(db, batch.id)
    assert (seen.status, seen.failed, seen.pending) == ("finished", 1, 0)


def test_a_crash_with_proof_fails_the_job_at_once(db: Database) -> None:
    (job,) = submit(db, new_job())
    take(db, task="segfault")

    recovery.record_crash(db, "segfault", caused_by_job=True)

    assert store.get_job(db, job.id).error_code == "worker_lost"


def test_the_cause_that_the_process_recorded_is_used(db: Database) -> None:
    (job,) = submit(db, new_job())
    for task in ("first", "second"):
        held = take(db, task=task)
        claims.record_cause(db, [held.id], recovery.TIMED_OUT)
        recovery.record_crash(db, task)

    assert store.get_job(db, job.id).error_code == "timed_out"


def test_an_expired_lease_requeues_the_jobs_and_the_late_answer_is_dropped(db: Database) -> None:
    (job,) = submit(db, new_job())
    late = take(db, lease=-1)
    held_in_time = submit(db, new_job(2)) and take(db, most=1)

    assert recovery.expire_leases(db) == {"pytorch"}

    assert finish(db, late) == set()
    assert store.get_job(db, job.id).status == "queued"
    assert finish(db, held_in_time) == set(ids(held_in_time))


def test_a_late_worker_does_not_report_the_answer_of_another_worker(db: Database) -> None:
    submit(db, new_job())
    late = take(db, lease=-1)
    recovery.expire_leases(db)
    finish(db, take(db))

    assert finish(db, late) == set()


def test_an_expired_lease_counts_as_an_absence_and_not_as_a_crash(db: Database) -> None:
    (job,) = submit(db, new_job())
    for _ in range(recovery.MAX_CRASHES + 1):
        take(db, lease=-1)
        recovery.expire_leases(db)

    held = take(db)
    assert held.alone
    assert finish(db, held) == {job.id}
    assert (store.get_job(db, job.id).status, store.get_job(db, job.id).deaths) == ("succeeded", 0)


def test_a_job_fails_after_the_maximum_of_absences(db: Database) -> None:
    (job,) = submit(db, new_job())
    for _ in range(recovery.MAX_ABSENCES):
        assert store.get_job(db, job.id).status == "queued"
        take(db, lease=-1)
        recovery.expire_leases(db)

    failed = store.get_job(db, job.id)
    assert (failed.status, failed.error_code, failed.deaths) == ("failed", "worker_lost", 0)


def test_a_worker_that_returns_removes_its_absence_once(db: Database) -> None:
    (job,) = submit(db, new_job())
    for _ in range(2 * recovery.MAX_ABSENCES):
        away = take(db, lease=-1)
        recovery.expire_leases(db)
        recovery.undo_expiry(db, away.id, ids(away))
        recovery.undo_expiry(db, away.id, ids(away))

    assert store.get_job(db, job.id).status == "queued"


def test_an_absence_is_removed_only_once(db: Database) -> None:
    (job,) = submit(db, new_job())
    absences = []
    for _ in range(2):
        away = take(db, lease=-1)
        recovery.expire_leases(db)
    for _ in range(2):
        recovery.undo_expiry(db, away.id, ids(away))
        with db.read() as connection:
            absences.append(connection.scalar(sa.select(Job.absences).where(Job.id == job.id)))

    assert absences == [1, 1]


def test_an_expired_lease_with_a_recorded_cause_counts_as_a_crash(db: Database) -> None:
    (job,) = submit(db, new_job())
    held = take(db, lease=-1)
    claims.record_cause(db, [held.id], recovery.OUT_OF_MEMORY)

    recovery.expire_leases(db)

    assert store.get_job(db, job.id).deaths == 1


def test_recording_a_crash_again_changes_nothing(db: Database) -> None:
    (job,) = submit(db, new_job())
    take(db, task="doomed")
    recovery.record_crash(db, "doomed")

    assert recovery.record_crash(db, "doomed") == set()
    assert store.get_job(db, job.id).deaths == 1


def test_a_worker_that_freezes_in_a_transaction_does_not_block_the_others(migrated_postgres: str) -> None:
    db = Database(migrated_postgres)
    submit(db, new_job(1), new_job(2))
    frozen, other = take(db, most=1, lease=-1), take(db, most=1, lease=-1)

    with db.engine.connect() as connection:
        connection.execute(sa.update(Claim).where(Claim.id == frozen.id).values(outcome="finished"))
        assert recovery.expire_leases(db) == {"pytorch"}
        assert store.get_job(db, ids(other)[0]).status == "queued"
        assert store.get_job(db, ids(frozen)[0]).status == "running"

    # The server has ended that transaction meanwhile.
    assert recovery.expire_leases(db) == {"pytorch"}
    assert store.get_job(db, ids(frozen)[0]).status == "queued"
    db.close()


def no_answer(db: Database, held: HeldClaim) -> None:
    recovery.requeue_as_suspects(db, held.id, "server_timeout", "It did not answer.")


def test_jobs_of_a_server_that_gave_no_answer_are_claimed_alone(db: Database) -> None:
    jobs = submit(db, *(new_job(number) for number in range(3)))
    no_answer(db, take(db))

    for job in jobs:
        held = take(db)
        assert (held.alone, ids(held)) == (True, [job.id])
        finish(db, held)
    assert {job.status for job in store.get_jobs(db, [job.id for job in jobs])} == {"succeeded"}


def test_a_job_whose_server_gives_no_answer_each_time_fails_with_that_code(db: Database) -> None:
    batch = batches.create_batch(db, None)
    (job,) = submit(db, new_job(), batch_id=batch.id)
    batches.close_batch(db, batch.id)
    # The first time is not counted: the server was not probed before.
    for _ in range(recovery.MAX_ABSENCES + 1):
        assert store.get_job(db, job.id).status == "queued"
        held = take(db)
        no_answer(db, held)
        no_answer(db, held)

    failed = store.get_job(db, job.id)
    assert (failed.status, failed.error_code, failed.deaths) == ("failed", "server_timeout", 0)
    assert failed.error_message
    assert "It did not answer." in failed.error_message
    assert batches.get_batch(db, batch.id).failed == 1
    with db.read() as connection:
        ledger = connection.execute(sa.select(Claim.outcome, Claim.cause)).all()
    assert set(ledger) == {("given_back", "server_timeout")}


def test_a_job_whose_server_gave_no_answer_goes_behind_the_others(db: Database) -> None:
    (job,) = submit(db, new_job())
    no_answer(db, take(db))
    others = submit(db, *(new_job(number) for number in range(1, 4)))
    no_answer(db, take(db))

    assert set(ids(take(db))) == {other.id for other in others}
    assert ids(take(db)) == [job.id]


def test_a_job_that_was_cancelled_stays_cancelled_after_an_outage(db: Database) -> None:
    (job,) = submit(db, new_job())
    for _ in range(recovery.MAX_ABSENCES):
        no_answer(db, take(db))
    held = take(db)
    store.cancel_job(db, job.id)
    no_answer(db, held)

    assert store.get_job(db, job.id).status == "cancelled"
