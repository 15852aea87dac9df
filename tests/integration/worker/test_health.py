"""The HEALTHCHECK of a worker's container: whether the worker claims jobs, not only whether it runs."""

import os
import re
import socket
import subprocess
import sys

import pytest
import sqlalchemy as sa

from jobs.clock import now
from jobs.database import Database
from jobs.queue import claims, worker_registry
from jobs.queue.claims import HeldClaim
from jobs.queue.worker_health import STUCK_SECONDS, diagnose_worker
from jobs.records import ClaimableModel
from jobs.settings import PREFIX
from jobs.tables import Base, Claim, Job, Worker, new_id
from tests.integration.jobs.engine import DIGEST, finish, new_job, submit

LONG_AGO = -STUCK_SECONDS - 10


def register(db: Database) -> str:
    worker_id = new_id()
    worker_registry.register(
        db, worker_id, runtime="pytorch", host="h", models={"cards": DIGEST}, device="cpu", versions={}
    )
    return worker_id


def age(db: Database, table: type[Base], column: str) -> None:
    with db.write() as connection:
        connection.execute(sa.update(table).values({column: now(LONG_AGO)}))


@pytest.fixture
def worker_id(db: Database) -> str:
    """A worker that was started long ago."""
    worker_id = register(db)
    age(db, Worker, "started_at")
    return worker_id


def claim(db: Database, worker_id: str) -> HeldClaim:
    held = claims.claim(
        db, "pytorch", {"cards": ClaimableModel(DIGEST, 8)}, worker_id=worker_id, task_id=new_id(), lease_seconds=15.0
    )
    assert held is not None
    return held


def wait_for_long(db: Database) -> None:
    submit(db, new_job(1))
    age(db, Job, "created_at")


def test_an_idle_worker_is_healthy(db: Database, worker_id: str) -> None:
    assert diagnose_worker(db, "pytorch", "h") is None


def test_a_worker_without_an_entry_or_a_heartbeat_is_not_healthy(db: Database) -> None:
    assert "pytorch on h" in str(diagnose_worker(db, "pytorch", "h"))

    register(db)
    age(db, Worker, "last_seen")

    assert re.search("no heartbeat for 7[0-9] s", str(diagnose_worker(db, "pytorch", "h")))


def test_a_worker_that_claims_no_waiting_job_is_not_healthy(db: Database, worker_id: str) -> None:
    wait_for_long(db)

    assert "Jobs of cards have waited" in str(diagnose_worker(db, "pytorch", "h"))


def test_new_jobs_and_jobs_of_other_queues_do_not_count(db: Database, worker_id: str) -> None:
    submit(db, new_job(1, model="other"), new_job(2, runtime="tensorflow"))
    age(db, Job, "created_at")
    submit(db, new_job(3))

    assert diagnose_worker(db, "pytorch", "h") is None


def test_a_worker_that_has_just_started_is_healthy(db: Database) -> None:
    register(db)
    wait_for_long(db)

    assert diagnose_worker(db, "pytorch", "h") is None


def test_a_worker_that_works_through_a_long_queue_is_healthy(db: Database, worker_id: str) -> None:
    submit(db, *map(new_job, range(20)))
    age(db, Job, "created_at")

    held = claim(db, worker_id)  # it has a claim
    age(db, Claim, "started_at")
    assert diagnose_worker(db, "pytorch", "h") is None

    finish(db, held)  # its claim was long ago
    assert "wait" in str(diagnose_worker(db, "pytorch", "h"))

    finish(db, claim(db, worker_id))  # its claim was a moment ago
    assert diagnose_worker(db, "pytorch", "h") is None


def test_claims_of_another_worker_do_not_count(db: Database, worker_id: str) -> None:
    wait_for_long(db)
    submit(db, *map(new_job, range(20)))
    claim(db, new_id())
    age(db, Job, "created_at")

    assert "wait" in str(diagnose_worker(db, "pytorch", "h"))


def test_a_worker_whose_model_server_does_not_answer_is_healthy(db: Database, worker_id: str) -> None:
    wait_for_long(db)
    worker_registry.record_outage(db, worker_id, "cards", "server_unreachable", "nobody there")

    assert diagnose_worker(db, "pytorch", "h") is None


def test_the_command_has_an_exit_status(db: Database, database_url: str) -> None:
    def check() -> subprocess.CompletedProcess[str]:
        environment = os.environ | {PREFIX + "DATABASE_URL": database_url}
        command = [sys.executable, "-m", "worker.health", "pytorch"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)

    done = check()
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)

    worker_registry.register(
        db, new_id(), runtime="pytorch", host=socket.gethostname(), models={}, device="cpu", versions={}
    )
    assert check().returncode == 0
