"""Real workers that ask a model server: it goes away and comes back, and it fails single pictures."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from cli.address import free_port
from jobs import batches, workers
from jobs.deaths import ABSENCES_THAT_FAIL
from jobs.migrate import migrate
from jobs.settings import ROOT
from jobs.tables import Claim, Detection, Job
from jobs.views import QueueView
from tests.conftest import RedisServer, wait_for
from tests.e2e.conftest import GOOD, Rig
from tests.served_model import DEADLY, PARALYSING, ServedModel, colour_of

log = logging.getLogger(__name__)

# More for a look at it by hand: REMOTE_JOBS=500 REMOTE_OUTAGE_SECONDS=60 REMOTE_KILLS=50.
JOBS = int(os.environ.get("REMOTE_JOBS", "120"))
KILLS = int(os.environ.get("REMOTE_KILLS", "6"))
OUTAGE_SECONDS = float(os.environ.get("REMOTE_OUTAGE_SECONDS", "6"))
ENTRY = """
[distant]
runtime = "remote"
format = "oip"
labels = ["box"]
batch_size = 4
server = { url = "URL", model = "cards", version = "1", timeout_s = TIMEOUT_S }
input = { name = "image", width = 32, height = 32, layout = "NHWC", dtype = "uint8" }
output = { boxes = "boxes", scores = "scores", classes = "classes" }
"""


class RemoteRig(Rig):
    runtime = "remote"
    model = "distant"

    def queue_now(self) -> QueueView:
        (queue,) = workers.queues(self.db)
        return queue


@pytest.fixture
def server() -> Iterator[ServedModel]:
    server = ServedModel(binary=True)
    yield server
    server.stop()


@pytest.fixture
def remote(tmp_path: Path, redis_server: RedisServer, server: ServedModel) -> Iterator[RemoteRig]:
    """Workers on SQLite."""
    yield from rig_on(f"sqlite:///{tmp_path / 'test.db'}", tmp_path, redis_server, server)


def rig_on(
    database_url: str,
    folder: Path,
    redis_server: RedisServer,
    server: "ServedModel | ServerProcess",
    timeout_s: float = 5,
) -> Iterator[RemoteRig]:
    redis_server.flush()
    migrate(database_url)
    catalogue = folder / "remote.toml"
    catalogue.write_text(ENTRY.replace("URL", server.url).replace("TIMEOUT_S", str(timeout_s)))
    # No lease runs out here for a machine that stands still.
    rig = RemoteRig(folder, database_url, redis_server.url, CATALOGUE=str(catalogue), LEASE_SECONDS="60")
    yield rig
    rig.stop()


@pytest.fixture
def remote_on_each(
    tmp_path: Path, database_url: str, redis_server: RedisServer, server: ServedModel
) -> Iterator[RemoteRig]:
    """Workers on each kind of database."""
    yield from rig_on(database_url, tmp_path, redis_server, server)


class ServerProcess:
    """A model server in a process of its own. Whoever ends or stops it: after a while it is there again."""

    def __init__(self) -> None:
        self._port = free_port("127.0.0.1")
        self.url = f"http://127.0.0.1:{self._port}"
        self.away_s = 3.0
        """Longer than a request is repeated, or a stopped server waited for."""
        self.times_away = self.starts = 0
        self._closed = threading.Event()
        self._start()
        self._tending = threading.Thread(target=self._tend)
        self._tending.start()

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self._closed.set()
        self._tending.join()
        self._process.kill()
        self._process.wait()

    def _start(self) -> None:
        command = [sys.executable, "-m", "tests.served_model", str(self._port), "0.05"]
        self._process = subprocess.Popen(command, cwd=ROOT)
        self.starts += 1

    def _tend(self) -> None:
        while not self._closed.wait(0.05):
            ended = self._process.poll() is not None
            if ended or psutil.Process(self._process.pid).status() == psutil.STATUS_STOPPED:
                self.times_away += 1
                self._closed.wait(self.away_s)
                if ended:
                    self._start()
                else:
                    self._process.send_signal(signal.SIGCONT)


@pytest.fixture
def mortal() -> Iterator[ServerProcess]:
    server = ServerProcess()
    yield server
    server.close()


@pytest.fixture
def remote_of_mortal(
    tmp_path: Path, empty_postgres: str, redis_server: RedisServer, mortal: ServerProcess
) -> Iterator[RemoteRig]:
    """Workers on PostgreSQL that ask a server which may end."""
    yield from rig_on(empty_postgres, tmp_path, redis_server, mortal, timeout_s=2)


@pytest.mark.timeout(600)
def test_jobs_wait_while_the_server_is_out_and_go_on_when_it_is_back(
    remote_on_each: RemoteRig, server: ServedModel
) -> None:
    remote = remote_on_each
    server.wait_s = 0.1
    remote.start_worker()
    batch, jobs = remote.submit([GOOD] * JOBS)
    wait_for(lambda: remote.queue_now().queued < JOBS * 0.9, "the first answers")

    server.stop()
    wait_for(lambda: remote.queue_now().outages, "the reason why nothing moves")
    wait_for(lambda: remote.queue_now().running == 0, "the jobs at hand to be given back")
    (outage,) = remote.queue_now().outages
    time.sleep(OUTAGE_SECONDS)
    during = remote.queue_now()
    server.start()
    back = time.monotonic()
    results = remote.wait_finished(batch, seconds=300)
    seconds = time.monotonic() - back

    assert (outage.model, outage.code) == ("distant", "server_unreachable")
    assert (during.queued > 0, during.running, during.workers, during.no_worker) == (True, 0, 1, False)
    assert during.outages[0].since == outage.since
    assert Counter(job.status for job in results) == {"succeeded": JOBS}
    assert {job.id for job in results} == {job.id for job in jobs}
    assert {job.deaths for job in results} == {0}
    assert {job.device for job in results} == {"remote"}
    with remote.db.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(Detection)) == JOBS
        claims = Counter(connection.scalars(sa.select(Claim.outcome)))
    assert set(claims) == {"finished", "given_back"}
    # While it was out nothing was claimed and given back again and again: each process had its claims at hand, once.
    assert claims["given_back"] <= 3 * int(remote.settings.children)
    wait_for(lambda: not remote.queue_now().outages, "the note to be taken off")
    log.info("%d jobs, %g s out, the last answer %.1f s later, claims %s", JOBS, OUTAGE_SECONDS, seconds, dict(claims))


def test_a_server_that_is_out_when_the_worker_starts_is_waited_for(remote: RemoteRig, server: ServedModel) -> None:
    server.stop()
    remote.start_worker()
    batch, _ = remote.submit([GOOD] * 5)
    wait_for(lambda: remote.queue_now().outages, "the reason why nothing moves")

    server.start()
    results = remote.wait_finished(batch)

    assert [job.status for job in results] == ["succeeded"] * 5


@pytest.mark.parametrize("fault", ["500", "slow", "NaN"])
def test_a_server_that_fails_every_picture_fails_no_job(remote: RemoteRig, server: ServedModel, fault: str) -> None:
    remote.start_worker()
    server.fault = fault
    batch, _ = remote.submit([GOOD] * 5)
    wait_for(lambda: remote.queue_now().outages, "the reason why nothing moves")
    codes = {outage.code for outage in remote.queue_now().outages}

    server.fault = None
    results = remote.wait_finished(batch)

    assert codes == {{"500": "server_failed", "slow": "server_timeout", "NaN": "detection_failed"}[fault]}
    assert [(job.status, job.deaths) for job in results] == [("succeeded", 0)] * 5


def test_a_picture_that_the_server_fails_fails_alone_with_its_code(remote: RemoteRig) -> None:
    remote.start_worker()
    codes = {
        "400": "server_refused",
        "500": "server_failed",
        "reset": "server_unreachable",
        "false shape": "server_answer_invalid",
        "NaN": "detection_failed",
        "a picture too few": "detection_failed",
    }
    pictures = [GOOD, *(colour_of(fault) for fault in codes), GOOD, GOOD]

    results = remote.wait_finished(remote.submit(pictures)[0])

    assert [job.error_code for job in results] == [None, *codes.values(), None, None]
    assert [job.detections is None for job in results] == [False, *[True] * len(codes), False, False]
    wait_for(lambda: remote.queue_now().outages == (), "no outage")


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("bad", "code", "away_s"),
    [(DEADLY, "server_unreachable", 3.0), (PARALYSING, "server_timeout", 7.0)],
    ids=["ends", "hangs"],
)
def test_a_picture_that_takes_the_server_down_fails_and_hurts_no_other(
    remote_of_mortal: RemoteRig, mortal: ServerProcess, bad: tuple[int, int, int], code: str, away_s: float
) -> None:
    remote = remote_of_mortal
    mortal.away_s = away_s
    for _ in range(2):
        remote.start_worker()
    batch, jobs = remote.submit([GOOD] * 6 + [bad] + [GOOD] * 30)

    results = {job.id: job for job in remote.wait_finished(batch, seconds=300)}

    guilty = results.pop(jobs[6].id)
    assert (guilty.status, guilty.error_code, guilty.deaths) == ("failed", code, 0)
    assert {(job.status, job.deaths) for job in results.values()} == {("succeeded", 0)}
    # In company, and then each time alone.
    assert mortal.times_away <= 1 + ABSENCES_THAT_FAIL
    with remote.db.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(Detection)) == len(results)
        absences = {job.id: job.absences for job in connection.execute(sa.select(Job.id, Job.absences))}
        outcomes = Counter(connection.scalars(sa.select(Claim.outcome)))
    assert absences.pop(guilty.id) == ABSENCES_THAT_FAIL
    # Where one was at the server at the same time; then each was alone.
    assert set(absences.values()) <= {0, 1}
    assert set(outcomes) == {"finished", "given_back"}
    log.info("%s: away %d times, claims %s", code, mortal.times_away, dict(outcomes))


@pytest.mark.timeout(600)
def test_a_server_that_is_killed_again_and_again_fails_no_job(
    remote_of_mortal: RemoteRig, mortal: ServerProcess
) -> None:
    remote = remote_of_mortal
    for _ in range(2):
        remote.start_worker()
    sent = []
    for number in range(KILLS):
        batch, _ = remote.submit([GOOD] * 60)
        sent.append(batch)
        wait_for(lambda started=number + 1: mortal.starts == started, "the server")  # type: ignore[misc]
        wait_for(lambda batch=batch: batches.get_batch(remote.db, batch.id).succeeded, "the first answers")  # type: ignore[misc]
        # Back before a request is given up, and not.
        mortal.away_s = 0.1 if number % 2 else 3.0
        mortal.kill()

    jobs = [job for batch in sent for job in remote.wait_finished(batch, seconds=300)]

    assert Counter(job.status for job in jobs) == {"succeeded": 60 * KILLS}
    assert {job.deaths for job in jobs} == {0}
    with remote.db.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(Detection)) == len(jobs)
        absences = Counter(connection.scalars(sa.select(Job.absences)))
        outcomes = Counter(connection.scalars(sa.select(Claim.outcome)))
    assert set(outcomes) == {"finished", "given_back"}
    log.info("absences %s, claims %s", dict(absences), dict(outcomes))
