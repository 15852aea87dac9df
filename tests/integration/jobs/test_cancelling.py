"""Cancelling a batch of 100,000 jobs takes effect at once, without a worker. Any sweep changes the rows."""

import os
import signal
import subprocess
import sys

import pytest
import sqlalchemy as sa

from jobs import batches, store
from jobs.database import Database
from jobs.queue import worker_registry
from jobs.queue.backpressure import Backpressure
from jobs.queue.queries import has_waiting
from jobs.records import ClaimableModel
from jobs.tables import CANCELLED, Job
from tests.conftest import ROOT
from tests.integration.jobs.deep import queue_up
from tests.integration.jobs.engine import DIGEST, finish, ids, new_job, submit, take, take_any
from tests.services.redis import RedisServer

BIG = 100_000


@pytest.fixture
def big_batch(db: Database) -> str:
    """A batch of 100,000 queued jobs."""
    batch = batches.create_batch(db, None).id
    queue_up(db, BIG, batch_id=batch)
    return batch


def rows(db: Database, batch: str) -> int:
    """Number of cancelled rows of the batch."""
    query = sa.select(sa.func.count()).where(Job.batch_id == batch, Job.status == CANCELLED)
    with db.read() as connection:
        return connection.scalar(query) or 0


def test_a_cancellation_counts_at_once(db: Database, big_batch: str) -> None:
    held = take(db, most=4)
    pressure = Backpressure(db, BIG // 2, None)
    assert pressure.refusal("pytorch", 0, 1)

    batches.cancel_batch(db, big_batch)

    # No row is changed, so it takes no longer than for a batch of ten.
    assert rows(db, big_batch) == 0
    seen = batches.get_batch(db, big_batch)
    assert (seen.status, seen.cancelled, seen.pending) == ("cancelled", BIG, 0)
    assert {job.status for job in store.list_jobs(db, batch=big_batch)} == {"cancelled"}
    assert len(store.list_jobs(db, batch=big_batch, status="cancelled")) == 50
    assert take_any(db) is None
    assert not has_waiting(db, "pytorch", {"cards": ClaimableModel(DIGEST, 8)})
    assert finish(db, held) == set()
    assert worker_registry.queues(db) == []
    assert Backpressure(db, BIG // 2, None).refusal("pytorch", 0, 1) is None


def test_jobs_behind_a_cancelled_batch_are_claimed_next(db: Database, big_batch: str) -> None:
    (job,) = submit(db, new_job(1, priority=-1))

    batches.cancel_batch(db, big_batch)

    assert ids(take(db)) == [job.id]
    assert rows(db, big_batch) == 0


# A sweep whose process is killed when some rows are cancelled.
KILLED = """
import os, signal
from unittest.mock import patch
from jobs.batches import cancel_rows
from jobs.queue import sweep
from worker.sweep import main

chunks = []

def some_rows(*arguments):
    chunks.append(arguments)
    if len(chunks) > 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return cancel_rows(*arguments)

with patch.object(sweep, "cancel_rows", some_rows):
    main()
"""


def test_a_sweep_continues_the_work_of_a_killed_sweep(
    db: Database, database_url: str, redis_server: RedisServer
) -> None:
    batch, number = batches.create_batch(db, None).id, 20_000
    queue_up(db, number, batch_id=batch)
    batches.cancel_batch(db, batch)
    environment = {**os.environ, "BOXQUEUE_DATABASE_URL": database_url, "BOXQUEUE_REDIS_URL": redis_server.url}

    killed = subprocess.run([sys.executable, "-c", KILLED], cwd=ROOT, env=environment, check=False)

    assert killed.returncode == -signal.SIGKILL
    assert 0 < rows(db, batch) < number
    assert batches.get_batch(db, batch).cancelled == number

    command = [sys.executable, "-m", "worker.sweep"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)

    assert rows(db, batch) == number
    assert batches.cancelling_batches(db) == []
    with db.read() as connection:
        counted = connection.execute(sa.text("SELECT cancelled, total FROM batches")).one()
    assert tuple(counted) == (number, number)
