"""Real workers with a model server that has outages and fails single pictures."""

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from jobs import batches
from jobs.queue.recovery import MAX_ABSENCES
from jobs.tables import Claim, Detection, Job
from tests import catalogues
from tests.e2e.rig import GOOD, Rig
from tests.e2e.server_process import ServerProcess
from tests.fake_model_server import CRASHING, FREEZING, FakeModelServer, colour_of
from tests.poison.pictures import png_of
from tests.services.redis import RedisServer
from tests.services.waiting import wait_for

pytestmark = pytest.mark.slow

log = logging.getLogger(__name__)

# For a longer run by hand: REMOTE_JOBS=500 REMOTE_OUTAGE_SECONDS=60 REMOTE_KILLS=50.
JOBS = int(os.environ.get("REMOTE_JOBS", "120"))
KILLS = int(os.environ.get("REMOTE_KILLS", "6"))
OUTAGE_SECONDS = float(os.environ.get("REMOTE_OUTAGE_SECONDS", "3"))
# So short that several sweeps happen during an outage.
SWEEP_SECONDS = 0.5
MODEL = "distant"


@pytest.fixture
def server() -> Iterator[FakeModelServer]:
    server = FakeModelServer(binary=True)
    yield server
    server.stop()


@contextmanager
def rig_on(database_url: str, folder: Path, redis_server: RedisServer, url: str, timeout_s: float = 5) -> Iterator[Rig]:
    """Workers whose model is on the server at this URL."""
    redis_server.flush()
    entry = catalogues.server_entry(url, server={"version": "1", "timeout_s": timeout_s}, batch_size=4)
    catalogue = catalogues.write(folder / "catalogue.toml", {MODEL: entry})
    rig = Rig(
        folder,
        database_url,
        redis_server.url,
        catalogue,
        runtime="remote",
        model=MODEL,
        # Long, so that no lease expires while a busy machine pauses.
        lease_seconds=60,
        sweep_seconds=SWEEP_SECONDS,
    )
    try:
        yield rig
    finally:
        rig.stop()


@pytest.fixture
def remote(
    tmp_path: Path,
    migrated_sqlite: str,
    redis_server: RedisServer,
    server: FakeModelServer,
    request: pytest.FixtureRequest,
) -> Iterator[Rig]:
    """Workers on SQLite. The parameter: how long a request may take."""
    timeout_s = getattr(request, "param", 5)
    with rig_on(migrated_sqlite, tmp_path, redis_server, server.url, timeout_s) as rig:
        yield rig


@pytest.fixture
def remote_on_each(
    tmp_path: Path, database_url: str, redis_server: RedisServer, server: FakeModelServer
) -> Iterator[Rig]:
    """Workers on each kind of database."""
    with rig_on(database_url, tmp_path, redis_server, server.url) as rig:
        yield rig


@pytest.fixture
def crashing_server(tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path)
    yield server
    server.close()


@pytest.fixture
def remote_on_crashing_server(
    tmp_path: Path, migrated_postgres: str, redis_server: RedisServer, crashing_server: ServerProcess
) -> Iterator[Rig]:
    """Workers on PostgreSQL with a server that may crash."""
    with rig_on(migrated_postgres, tmp_path, redis_server, crashing_server.url, timeout_s=1.5) as rig:
        yield rig
        crashing_server.may_come_back = lambda: True


def all_breakers_open(rig: Rig) -> Callable[[], bool]:
    """Whether every process has opened its circuit breaker, so that none tries the server any more."""
    return lambda: bool(rig.queue_now().outages) and rig.queue_now().running == 0


@pytest.mark.timeout(600)
def test_jobs_wait_while_the_server_is_out_and_go_on_when_it_is_back(
    remote_on_each: Rig, server: FakeModelServer
) -> None:
    remote = remote_on_each
    server.wait_s = 0.1
    remote.start_worker()
    batch, jobs = remote.submit([GOOD] * JOBS)
    wait_for(lambda: remote.queue_now().queued < JOBS * 0.9, "the first answers")

    server.stop()
    wait_for(all_breakers_open(remote), "the reason of the outage, and the return of the claimed jobs")
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
    # During the outage jobs were not claimed and requeued again and again: each process had its claims only once.
    assert claims["given_back"] <= 3 * int(remote.settings.children)
    wait_for(lambda: not remote.queue_now().outages, "the removal of the recorded outage")
    log.info("%d jobs, %g s out, the last answer %.1f s later, claims %s", JOBS, OUTAGE_SECONDS, seconds, dict(claims))


def test_a_worker_waits_for_a_server_that_is_out_when_it_starts(remote: Rig, server: FakeModelServer) -> None:
    server.stop()
    remote.start_worker()
    batch, _ = remote.submit([GOOD] * 5)
    wait_for(lambda: remote.queue_now().outages, "the reason of the outage")

    server.start()
    results = remote.wait_finished(batch)

    assert [job.status for job in results] == ["succeeded"] * 5


@pytest.mark.parametrize(
    ("remote", "fault", "code"),
    [(5, "500", "server_failed"), (1.5, "slow", "server_timeout"), (5, "NaN", "detection_failed")],
    indirect=["remote"],
    ids=["500", "slow", "NaN"],
)
def test_a_server_that_fails_every_picture_fails_no_job(
    remote: Rig, server: FakeModelServer, fault: str, code: str
) -> None:
    remote.start_worker()
    server.fault = fault
    batch, _ = remote.submit([GOOD] * 5)
    wait_for(lambda: remote.queue_now().outages, "the reason of the outage")
    codes = {outage.code for outage in remote.queue_now().outages}

    server.fault = None
    results = remote.wait_finished(batch)

    assert codes == {code}
    assert [(job.status, job.deaths) for job in results] == [("succeeded", 0)] * 5


def test_only_pictures_that_the_server_fails_on_fail_with_their_codes(remote: Rig) -> None:
    remote.start_worker()
    codes = {
        "400": "server_refused",
        "500": "server_failed",
        "reset": "server_unreachable",
        "false shape": "server_answer_invalid",
        "NaN": "detection_failed",
        "a picture too few": "detection_failed",
    }
    pictures = [GOOD, *(png_of(colour_of(fault)) for fault in codes), GOOD, GOOD]

    results = remote.wait_finished(remote.submit(pictures)[0])

    assert [job.error_code for job in results] == [None, *codes.values(), None, None]
    assert [job.detections is None for job in results] == [False, *[True] * len(codes), False, False]
    wait_for(lambda: remote.queue_now().outages == (), "no outage")


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("bad", "code"),
    [(CRASHING, "server_unreachable"), (FREEZING, "server_timeout")],
    ids=["ends", "hangs"],
)
def test_only_the_picture_that_takes_the_server_down_fails(
    remote_on_crashing_server: Rig, crashing_server: ServerProcess, bad: tuple[int, int, int], code: str
) -> None:
    remote = remote_on_crashing_server
    # Otherwise a repeated request might reach the server again and crash it once more.
    crashing_server.may_come_back = all_breakers_open(remote)
    for _ in range(2):
        remote.start_worker()
    batch, jobs = remote.submit([GOOD] * 6 + [png_of(bad)] + [GOOD] * 30)

    results = {job.id: job for job in remote.wait_finished(batch, seconds=300)}

    guilty = results.pop(jobs[6].id)
    assert (guilty.status, guilty.error_code, guilty.deaths) == ("failed", code, 0)
    assert {(job.status, job.deaths) for job in results.values()} == {("succeeded", 0)}
    # First together with other pictures, then each time alone.
    assert crashing_server.times_away <= 1 + MAX_ABSENCES
    with remote.db.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(Detection)) == len(results)
        absences = {job.id: job.absences for job in connection.execute(sa.select(Job.id, Job.absences))}
        outcomes = Counter(connection.scalars(sa.select(Claim.outcome)))
    assert absences.pop(guilty.id) == MAX_ABSENCES
    # Other pictures may have been at the server at the same time; afterwards each ran alone.
    assert set(absences.values()) <= {0, 1}
    assert set(outcomes) == {"finished", "given_back"}
    log.info("%s: away %d times, claims %s", code, crashing_server.times_away, dict(outcomes))


@pytest.mark.timeout(600)
def test_a_server_that_is_killed_again_and_again_fails_no_job(
    remote_on_crashing_server: Rig, crashing_server: ServerProcess
) -> None:
    remote = remote_on_crashing_server
    for _ in range(2):
        remote.start_worker()
    sent = []
    for number in range(KILLS):
        batch, _ = remote.submit([GOOD] * 60)
        sent.append(batch)
        wait_for(lambda started=number + 1: crashing_server.starts == started, "the server")  # type: ignore[misc]
        wait_for(lambda batch=batch: batches.get_batch(remote.db, batch.id).succeeded, "the first answers")  # type: ignore[misc]
        # The server returns before the retries of a request end, and after they have ended.
        crashing_server.may_come_back = (lambda: True) if number % 2 else all_breakers_open(remote)
        crashing_server.kill()

    jobs = [job for batch in sent for job in remote.wait_finished(batch, seconds=300)]

    assert Counter(job.status for job in jobs) == {"succeeded": 60 * KILLS}
    assert {job.deaths for job in jobs} == {0}
    with remote.db.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(Detection)) == len(jobs)
        absences = Counter(connection.scalars(sa.select(Job.absences)))
        outcomes = Counter(connection.scalars(sa.select(Claim.outcome)))
    assert set(outcomes) == {"finished", "given_back"}
    log.info("absences %s, claims %s", dict(absences), dict(outcomes))
