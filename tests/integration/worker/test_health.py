"""What a container's HEALTHCHECK says of a worker: whether it takes work, not whether it runs."""

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
from jobs.queue.worker_health import STUCK_SECONDS, fault
from jobs.records import ClaimableModel
from jobs.settings import PREFIX
from jobs.tables import Base, Claim, Job, Worker, new_id
from tests.integration.jobs.engine import DIGEST, finish, new_job, submit

LONG_AGO = -STUCK_SECONDS - 10


def enter(db: Database) -> str:
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
    """A worker that has been there for long."""
    worker_id = enter(db)
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
    assert fault(db, "pytorch", "h") is None


def test_a_worker_that_never_came_or_shows_itself_no_more_is_not(db: Database) -> None:
    assert "pytorch on h" in str(fault(db, "pytorch", "h"))

    enter(db)
    age(db, Worker, "last_seen")

    assert re.search("no heartbeat for 7[0-9] s", str(fault(db, "pytorch", "h")))


def test_a_worker_that_leaves_a_job_waiting_is_not(db: Database, worker_id: str) -> None:
    wait_for_long(db)

    assert "Jobs of cards have waited" in str(fault(db, "pytorch", "h"))


def test_a_job_that_has_just_come_or_is_not_for_it_is_no_reproach(db: Database, worker_id: str) -> None:
    submit(db, new_job(1, model="other"), new_job(2, runtime="tensorflow"))
    age(db, Job, "created_at")
    submit(db, new_job(3))

    assert fault(db, "pytorch", "h") is None


def test_a_worker_that_just_came_has_time_to_begin(db: Database) -> None:
    enter(db)
    wait_for_long(db)

    assert fault(db, "pytorch", "h") is None


def test_behind_a_long_backlog_who_works_is_healthy(db: Database, worker_id: str) -> None:
    submit(db, *map(new_job, range(20)))
    age(db, Job, "created_at")

    held = claim(db, worker_id)  # it has one
    age(db, Claim, "started_at")
    assert fault(db, "pytorch", "h") is None

    finish(db, held)  # it had one, long ago
    assert "wait" in str(fault(db, "pytorch", "h"))

    finish(db, claim(db, worker_id))  # it had one, lately
    assert fault(db, "pytorch", "h") is None


def test_what_another_worker_takes_is_not_its_merit(db: Database, worker_id: str) -> None:
    wait_for_long(db)
    submit(db, *map(new_job, range(20)))
    claim(db, new_id())
    age(db, Job, "created_at")

    assert "wait" in str(fault(db, "pytorch", "h"))


def test_a_worker_whose_model_server_does_not_answer_is_not_to_blame(db: Database, worker_id: str) -> None:
    wait_for_long(db)
    worker_registry.record_outage(db, worker_id, "cards", "server_unreachable", "nobody there")

    assert fault(db, "pytorch", "h") is None


def test_the_command_says_so_by_its_exit_status(db: Database, database_url: str) -> None:
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
