"""The query of each ScaledObject of KEDA, on the real tables of a real PostgreSQL."""

import pytest
import sqlalchemy as sa

from benchmarks.database.plans import GROWING_TABLES
from jobs import batches
from jobs.database import Database
from jobs.queue import worker_registry
from tests.integration.jobs.deep import queue_up
from tests.integration.jobs.engine import finish, ids, new_job, submit, take
from tests.manifests import Manifest, of_kind, worker_manifests

RUNTIMES = [name.removeprefix("worker-") for name in worker_manifests()]


@pytest.fixture
def database_url(migrated_postgres: str) -> str:
    """KEDA's scaler knows only PostgreSQL."""
    return migrated_postgres


def triggers(runtime: str) -> dict[str, Manifest]:
    [scaled] = of_kind(worker_manifests()[f"worker-{runtime}"], "ScaledObject")
    return {trigger["name"]: trigger["metadata"] for trigger in scaled["spec"]["triggers"]}


def ask(db: Database, runtime: str, trigger: str) -> int:
    """The result: one row with one integer, as the scaler needs it."""
    with db.read() as connection:
        [[value]] = connection.exec_driver_sql(triggers(runtime)[trigger]["query"]).all()
    assert isinstance(value, int)
    return value


def test_an_idle_queue_needs_no_worker(db: Database) -> None:
    for runtime in RUNTIMES:
        assert (ask(db, runtime, "jobs"), ask(db, runtime, "oldest")) == (0, 0)


def test_only_queued_and_running_jobs_count(db: Database) -> None:
    submit(db, *(new_job(number) for number in range(10)))
    submit(db, new_job(20, runtime="tensorflow"))
    finish(db, take(db, 3))
    take(db, 2)
    cancelled = batches.create_batch(db, None).id
    submit(db, *(new_job(number) for number in range(30, 34)), batch_id=cancelled)
    batches.cancel_batch(db, cancelled)

    counted = {runtime: ask(db, runtime, "jobs") for runtime in RUNTIMES}

    assert counted == {"pytorch": 7, "tensorflow": 1, "onnx": 0, "remote": 0, "libtorch": 0}
    assert counted["pytorch"] == sum(
        queue.queued + queue.running for queue in worker_registry.queues(db) if queue.runtime == "pytorch"
    )


def test_jobs_of_a_lost_worker_still_need_a_worker(db: Database) -> None:
    submit(db, new_job())
    take(db, lease=-5)

    assert ask(db, "pytorch", "jobs") == 1


def test_the_age_is_that_of_the_oldest_queued_job(db: Database) -> None:
    submit(db, *(new_job(number) for number in range(3)))
    running = ids(take(db, 1))
    with db.write() as connection:
        age = sa.text("UPDATE jobs SET created_at = created_at - make_interval(secs => :seconds) WHERE id = :id")
        connection.execute(age, {"seconds": 1000, "id": running[0]})
        waiting = connection.scalar(sa.text("SELECT id FROM jobs WHERE status = 'queued' LIMIT 1"))
        connection.execute(age, {"seconds": 90, "id": waiting})

    assert 90 <= ask(db, "pytorch", "oldest") <= 100


@pytest.mark.parametrize("trigger", ["jobs", "oldest"])
def test_the_history_is_not_read(db: Database, trigger: str) -> None:
    queue_up(db, 2_000)
    queue_up(db, 2_000, status="succeeded")

    with db.read() as connection:
        connection.exec_driver_sql("SET enable_seqscan = off")
        plan = "\n".join(
            row[0] for row in connection.exec_driver_sql(f"EXPLAIN {triggers('pytorch')[trigger]['query']}")
        )

    assert not [table for table in GROWING_TABLES if f"Seq Scan on {table}" in plan], plan
