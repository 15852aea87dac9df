"""The state of the queues that an operator sees during faults."""

import time

import pytest
import sqlalchemy as sa

import worker.heartbeat
from jobs.clock import now
from jobs.database import Database
from jobs.queue import claims, worker_registry
from jobs.records import QueueRecord, Unserved
from jobs.tables import Worker, new_id
from tests.integration.jobs.engine import DIGEST, finish, new_job, submit, take
from tests.services.waiting import wait_for
from worker.heartbeat import Heartbeat
from worker.plan import Plan


def register(db: Database, *, digest: str = DIGEST, runtime: str = "pytorch") -> str:
    worker_id = new_id()
    worker_registry.register(
        db, worker_id, runtime=runtime, host="h", models={"cards": digest}, device="cpu", versions={}
    )
    return worker_id


def expire_heartbeat(db: Database, worker_id: str) -> None:
    """Makes the worker's last heartbeat old, as if it was killed or hung."""
    with db.write() as connection:
        connection.execute(
            sa.update(Worker).where(Worker.id == worker_id).values(last_seen=now(-worker_registry.LOST_SECONDS - 1))
        )


def the_queue(db: Database) -> QueueRecord:
    (queue,) = worker_registry.queues(db)
    return queue


def test_a_worker_without_a_heartbeat_is_lost_and_not_alive(db: Database) -> None:
    expire_heartbeat(db, register(db))
    register(db)

    queue = the_queue(db)

    assert (queue.workers, queue.workers_lost, queue.no_worker) == (1, 1, False)


def test_an_empty_queue_whose_only_worker_was_lost_is_shown(db: Database) -> None:
    expire_heartbeat(db, register(db))

    assert (the_queue(db).workers, the_queue(db).workers_lost) == (0, 1)


def test_a_worker_that_unregistered_is_not_lost(db: Database) -> None:
    worker_registry.unregister(db, register(db))

    assert worker_registry.queues(db) == []


def test_live_workers_are_counted_by_their_build(db: Database) -> None:
    for commit in ("old", "new", "new"):
        worker_registry.register(
            db, new_id(), runtime="pytorch", host="h", models={}, device="cpu", versions={"commit": commit}
        )
    expire_heartbeat(db, register(db))

    builds = the_queue(db).builds

    assert [(build.workers, build.versions) for build in builds] == [(2, {"commit": "new"}), (1, {"commit": "old"})]


def test_jobs_of_a_version_without_a_worker_are_listed(db: Database) -> None:
    register(db, digest="e" * 64)
    submit(db, new_job(1), new_job(2))

    queue = the_queue(db)

    assert queue.unserved == (Unserved("cards", DIGEST, 2),)
    assert queue.no_worker


def test_a_lost_worker_serves_nothing(db: Database) -> None:
    expire_heartbeat(db, register(db))
    submit(db, new_job(1))

    assert the_queue(db).unserved == (Unserved("cards", DIGEST, 1),)


def test_removing_a_version_that_could_not_be_loaded_removes_no_other_one(db: Database) -> None:
    worker_id = register(db)

    worker_registry.remove_model(db, worker_id, "cards", "e" * 64)
    assert worker_registry.live_models(db) == {("cards", DIGEST)}

    worker_registry.remove_model(db, worker_id, "cards", DIGEST)
    assert worker_registry.live_models(db) == set()


def test_running_jobs_past_their_lease_are_late(db: Database) -> None:
    submit(db, *(new_job(number) for number in range(5)))
    take(db, most=2)
    take(db, most=3, lease=-1)

    assert (the_queue(db).running, the_queue(db).late) == (5, 3)


def test_the_rate_counts_claims_that_were_not_lost(db: Database) -> None:
    submit(db, *(new_job(number) for number in range(12)))
    finish(db, take(db, most=3))
    take(db, most=3)
    claims.give_back(db, take(db, most=6))

    assert the_queue(db).rate_per_s == pytest.approx(6 / worker_registry.RATE_SECONDS)


def test_a_worker_sends_heartbeats_until_it_stops(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker.heartbeat.worker_registry, "HEARTBEAT_SECONDS", 0.05)
    heartbeat = Heartbeat(db, Plan(new_id(), "pytorch", {}, ("cpu",), 1, 1, {}))
    heartbeat.start()
    wait_for(lambda: worker_registry.queues(db), "its entry")
    with db.write() as connection:
        connection.execute(sa.delete(Worker))

    # Its entry was removed while it was away, so it registers again.
    wait_for(lambda: worker_registry.queues(db), "its entry once more")
    expire_heartbeat(db, heartbeat._plan.worker_id)
    wait_for(lambda: the_queue(db).workers == 1, "a heartbeat")
    heartbeat.stop()

    assert worker_registry.queues(db) == []


def test_the_oldest_outage_of_a_model_is_shown_until_its_server_is_back(db: Database) -> None:
    first, second = register(db), register(db)
    worker_registry.record_outage(db, first, "cards", "server_timeout", "Late.")
    time.sleep(0.005)  # the clock of SQLite has milliseconds
    worker_registry.record_outage(db, second, "cards", "server_unreachable", "Gone.")
    (before,) = the_queue(db).outages

    worker_registry.record_outage(db, first, "cards", "server_unreachable", "Gone, too.")
    (after,) = the_queue(db).outages
    worker_registry.clear_outage(db, first, "cards")
    (left,) = the_queue(db).outages
    worker_registry.clear_outage(db, second, "cards")

    assert (before.model, before.code, before.message) == ("cards", "server_timeout", "Late.")
    assert (after.code, after.message, after.since) == ("server_unreachable", "Gone, too.", before.since)
    assert left.since >= before.since
    assert left.message == "Gone."
    assert the_queue(db).outages == ()


def test_an_outage_of_a_lost_worker_is_not_shown(db: Database) -> None:
    worker_id = register(db)
    worker_registry.record_outage(db, worker_id, "cards", "server_timeout", "Late.")
    expire_heartbeat(db, worker_id)

    assert the_queue(db).outages == ()
