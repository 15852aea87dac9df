"""Real worker processes that crash in every way. Every job gets exactly one result."""

import os
import signal
import sqlite3
from contextlib import closing, suppress

import pytest
import sqlalchemy as sa

from jobs import store
from jobs.queue import worker_registry
from jobs.tables import Claim
from tests import poison
from tests.e2e.rig import GOOD, SLOW, SLOWEST, Rig, picture
from tests.services.processes import output_of
from tests.services.programs import python
from tests.services.redis import RedisServer
from tests.services.waiting import wait_for

pytestmark = pytest.mark.slow


def test_jobs_are_answered(shared_rig: Rig) -> None:
    rig = shared_rig

    batch, _ = rig.submit([GOOD] * 30)
    results = rig.wait_finished(batch)

    assert [job.status for job in results] == ["succeeded"] * 30
    (found,) = results[0].detections or []
    # The model's box is 0, 2, 4, 6 of 32 pixels; the picture has 64.
    assert (found.label, found.x1, found.y1, found.x2, found.y2) == ("box", 0, 4, 8, 12)
    assert results[0].timings_ms is not None
    assert set(results[0].timings_ms) == {"queued", "decode", "inference", "total"}


@pytest.mark.parametrize("victim", ["a child", "a child and at once its successor", "the parent"])
def test_a_killed_process_loses_no_job(shared_rig: Rig, victim: str) -> None:
    rig, worker = shared_rig, shared_rig.worker
    batch, _ = rig.submit([SLOW] * 40)
    rig.wait_running()

    if victim == "the parent":
        worker.kill()
        worker = rig.start_worker()
    else:
        before = set(worker.children())
        next(iter(before)).kill()
        if victim == "a child and at once its successor":
            wait_for(lambda: set(worker.children()) - before, "the next process")
            (set(worker.children()) - before).pop().kill()
    results = rig.wait_finished(batch)

    assert [job.status for job in results] == ["succeeded"] * 40
    wait_for(lambda: len(worker.children()) == 2, "as many children as before")


def test_poison_fails_with_its_code_and_all_other_jobs_succeed(sqlite_rig: Rig) -> None:
    rig = sqlite_rig
    # The time limit of a picture is longer than a pause of a busy machine.
    rig.worker_settings |= {"picture_seconds": 5, "child_memory_mb": 250, "lease_seconds": 60}
    rig.start_worker()
    kinds = {
        "segfault": ("worker_lost", 1),
        "eat": ("out_of_memory", 2),
        "raise": ("detection_failed", 0),
        "kill": ("worker_lost", 2),
        "nan": ("detection_failed", 0),
        # At the end, in the smallest claim: the time limit of a claim is that of a picture times its pictures.
        "hang": ("timed_out", 2),
    }

    batch, jobs = rig.submit([data for kind in kinds for data in (GOOD, picture(kind), GOOD)])
    results = {job.id: job for job in rig.wait_finished(batch)}

    for number, expected in enumerate(kinds.values()):
        before, bad, after = (results[job.id] for job in jobs[3 * number : 3 * number + 3])
        assert (before.status, after.status) == ("succeeded", "succeeded")
        assert (bad.error_code, bad.deaths) == expected
        assert bad.detections is None


def test_a_stopped_worker_writes_nothing_after_its_lease(sqlite_rig: Rig) -> None:
    rig = sqlite_rig
    asleep = rig.start_worker()
    batch, jobs = rig.submit([SLOWEST] * 2)
    rig.wait_running()
    pids = [asleep.pid, *(child.pid for child in asleep.children())]
    stop_outside_of_transactions(rig, pids)

    rig.start_worker()
    results = rig.wait_finished(batch)
    written = [(job.id, job.started_at, job.finished_at) for job in results]
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: "forgiven" in outcomes(rig), "the stopped worker's late results")
    # By then it has written all its output.
    assert asleep.stop() == 0

    again = store.get_jobs(rig.db, [job.id for job in jobs])
    assert [job.status for job in again] == ["succeeded"] * 2
    assert sorted((job.id, job.started_at, job.finished_at) for job in again) == written
    assert {job.deaths for job in again} == {0}


def stop_outside_of_transactions(rig: Rig, pids: list[int]) -> None:
    """Sends SIGSTOP. A process that is stopped in a transaction would block SQLite for all others."""

    def stopped() -> bool:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        with closing(sqlite3.connect(rig.settings.database_url.removeprefix("sqlite:///"), timeout=0.5)) as connection:
            with suppress(sqlite3.OperationalError):
                connection.execute("BEGIN IMMEDIATE")
                return True
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        return False

    wait_for(stopped, "a moment without a transaction")


def test_a_terminated_worker_finishes_or_requeues_its_jobs(sqlite_rig: Rig) -> None:
    rig = sqlite_rig
    worker = rig.start_worker()
    _, jobs = rig.submit([SLOW] * 200)
    rig.wait_running()

    assert worker.stop() == 0

    states = {job.status for job in store.get_jobs(rig.db, [job.id for job in jobs])}
    assert states == {"succeeded", "queued"}
    assert {job.deaths for job in store.get_jobs(rig.db, [job.id for job in jobs])} == {0}
    assert sum(queue.workers for queue in worker_registry.queues(rig.db)) == 0


def test_only_the_picture_that_breaks_the_detector_fails(sqlite_rig: Rig) -> None:
    rig = sqlite_rig
    rig.worker_settings["children"] = 1
    rig.start_worker()

    batch, jobs = rig.submit([GOOD, picture("break"), *[GOOD] * 30])
    results = {job.id: job for job in rig.wait_finished(batch)}

    broken = results.pop(jobs[1].id)
    assert (broken.status, broken.error_code, broken.deaths) == ("failed", "worker_lost", 2)
    assert {job.status for job in results.values()} == {"succeeded"}


def test_terminated_children_requeue_and_no_crash_is_counted(sqlite_rig: Rig) -> None:
    rig = sqlite_rig
    # One picture in each claim: a crash would count against it.
    rig.worker_settings |= {"batch_size": 1, "lease_seconds": 60}
    worker = rig.start_worker()
    batch, jobs = rig.submit([SLOW] * 60)

    for _ in range(3):
        rig.wait_running()
        terminated = set(worker.children())
        for child in terminated:
            child.terminate()
        # Jobs that run afterwards have other workers.
        wait_for(lambda old=terminated: not old & set(worker.children()), "their end")  # type: ignore[misc]
    results = rig.wait_finished(batch)

    assert [(job.status, job.deaths) for job in results] == [("succeeded", 0)] * len(jobs)
    assert outcomes(rig) <= {"finished", "given_back"}


def test_a_terminated_process_group_counts_no_crash(sqlite_rig: Rig) -> None:
    rig = sqlite_rig
    rig.worker_settings["lease_seconds"] = 60
    worker = rig.start_worker()
    rig.submit([SLOW] * 200)
    rig.wait_running()

    for child in worker.children():
        child.terminate()
    assert worker.stop() == 0

    assert outcomes(rig) <= {"finished", "given_back"}


def outcomes(rig: Rig) -> set[str | None]:
    """The outcomes of the claims; None for one that is still open."""
    with rig.db.read() as connection:
        return set(connection.scalars(sa.select(Claim.outcome)))


def test_a_child_that_cannot_start_loses_no_doorbell(sqlite_rig: Rig) -> None:
    rig = sqlite_rig
    unloadable = rig.settings.data / poison.UNLOADABLE
    unloadable.touch()
    rig.start_worker()
    batch, jobs = rig.submit([GOOD] * 5)
    wait_for(lambda: "this process can't start" in rig.output, "the reason in the log")

    unloadable.unlink()

    assert [job.status for job in rig.wait_finished(batch)] == ["succeeded"] * len(jobs)


def test_an_empty_redis_after_a_restart_loses_no_job(sqlite_rig: Rig, redis_server: RedisServer) -> None:
    rig = sqlite_rig
    rig.start_worker()
    redis_server.kill()
    batch, _ = rig.submit([GOOD] * 10)
    wait_for(lambda: "Redis does not answer" in rig.output, "a sweep without Redis")
    assert store.list_jobs(rig.db, status="queued")

    redis_server.start()

    assert [job.status for job in rig.wait_finished(batch)] == ["succeeded"] * 10


def test_jobs_wait_during_an_outage_of_the_image_store(sqlite_rig: Rig) -> None:
    rig = sqlite_rig
    batch, jobs = rig.submit([GOOD] * 5)
    folder, away = rig.settings.data / "images", rig.settings.data / "away"
    folder.rename(away)
    rig.start_worker()
    wait_for(lambda: "is returned: " in rig.output, "the claim that is returned")

    away.rename(folder)

    assert [(job.status, job.deaths) for job in rig.wait_finished(batch)] == [("succeeded", 0)] * len(jobs)


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("device", "cuda", "BOXQUEUE_DEVICE: cuda was requested"),
        ("lease_seconds", "soon", "BOXQUEUE_LEASE_SECONDS"),
        ("catalogue", "/nowhere.toml", "/nowhere.toml can't be read"),
    ],
)
def test_a_worker_that_cannot_start_says_why(sqlite_rig: Rig, setting: str, value: str, sentence: str) -> None:
    sqlite_rig.worker_settings[setting] = value

    done = output_of(python("worker", "poison"), sqlite_rig.environment)

    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
