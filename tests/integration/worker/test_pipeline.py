"""Claims of a worker during outages and crashes, on real databases, within this process."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from billiard.exceptions import TimeLimitExceeded, WorkerLostError

import engine.inference
import engine.leases
import worker.maintenance
import worker.pipeline
import worker.watchdog
from detectors.catalogue import Input, ModelEntry
from detectors.errors import DetectionFailed, ModelUnusable
from detectors.pictures.decode import DecodedPicture
from detectors.postprocess import Detections
from engine.circuit_breaker import CircuitBreakers
from engine.claim_run import ClaimRun
from engine.inference import Pictures
from engine.leases import Leases
from engine.model_registry import ModelRegistry
from engine.models import LoadedModels
from jobs import store
from jobs.database import Database
from jobs.errors import DatabaseUnavailable, StoreUnavailable
from jobs.queue import claims, recovery, worker_registry
from jobs.queue.sweep import sweep
from jobs.records import ClaimableModel
from jobs.settings import Settings
from jobs.tables import Claim, Job, new_id
from tests.integration.jobs.engine import DIGEST, answer, finish, ids, new_job, submit, take
from tests.services.waiting import wait_for
from worker import tasks
from worker.child import Child
from worker.maintenance import ChildExit, Maintenance
from worker.pipeline import Pipeline
from worker.plan import Plan
from worker.watchdog import Watchdog

CARDS = ModelEntry(
    name="cards",
    runtime="pytorch",
    format="pt2",
    file=Path("cards.pt2"),
    sha256="0" * 64,
    labels=("button",),
    input=Input(width=32, height=32),
)
PLAN = Plan(new_id(), "pytorch", {"cards": CARDS}, ("cpu",), 1, 1, {})


@pytest.fixture
def leases(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Leases]:
    monkeypatch.setattr(engine.leases, "TICK_SECONDS", 0.05)
    leases = Leases(db, lease_seconds=1.0)
    leases.start()
    yield leases
    leases.stop()


@pytest.fixture
def watchdog(db: Database, leases: Leases, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watchdog]:
    monkeypatch.setattr(worker.watchdog, "TICK_SECONDS", 0.05)
    watchdog = Watchdog(db, leases, memory_limit=2**40)
    watchdog.start()
    yield watchdog
    # The thread runs for ever. A claim that a test left unfinished must not end this process later.
    watchdog.end_process = lambda *_: None  # type: ignore[method-assign]


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set instead of killing this process."""
    event = threading.Event()

    def kill(*_: int) -> None:
        event.set()
        threading.Event().wait()  # the thread does not continue, as after a real signal

    monkeypatch.setattr(worker.watchdog.os, "kill", kill)
    return event


@pytest.fixture
def child(db: Database, leases: Leases, watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A child whose image store is out."""

    def out(_: str) -> bytes:
        raise StoreUnavailable("The image store's folder is not there.")

    child = SimpleNamespace(
        db=db,
        leases=leases,
        watchdog=watchdog,
        plan=PLAN,
        device="cpu",
        memory_limit=2**40,
        settings=Settings(drain_seconds=0, lease_seconds=1.0),
        registry=SimpleNamespace(reload=lambda: False, models={"cards": CARDS}),
        claimable=lambda: {"cards": ClaimableModel(DIGEST, 8)},
        stopping=threading.Event(),
        quiet_until=0.0,
        rings=0,
        images=SimpleNamespace(get=out),
        doorbell=SimpleNamespace(ring=lambda _: setattr(child, "rings", child.rings + 1)),
    )
    monkeypatch.setattr(tasks, "_child", child)
    return child


def is_waiting(db: Database, job_id: str) -> bool:
    job = store.get_job(db, job_id)
    return (job.status, job.deaths) == ("queued", 0)


@pytest.mark.parametrize("fails", ["has_waiting", "return_unanswered"])
def test_an_outage_of_the_database_after_a_claim_leaves_no_claim(
    db: Database, child: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    (job,) = submit(db, new_job())

    def out(*_: Any) -> None:
        raise DatabaseUnavailable("The database does not answer.")

    monkeypatch.setattr(worker.pipeline, fails, out)
    tasks.detect.apply(task_id=new_id())

    # Otherwise the claim would be held, and its lease extended, as long as this process runs.
    wait_for(lambda: is_waiting(db, job.id), "the job in the queue")
    assert not take(db).alone


def test_a_claim_whose_commit_seemed_to_fail_is_returned(
    db: Database, child: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = submit(db, new_job())
    real = claims.claim

    def claim_and_break(*arguments: Any, **named: Any) -> None:
        real(*arguments, **named)
        raise DatabaseUnavailable("The connection to the database broke.")

    monkeypatch.setattr(worker.pipeline, "claim", claim_and_break)
    tasks.detect.apply(task_id=new_id())

    wait_for(lambda: is_waiting(db, job.id), "the job in the queue")


def test_an_outage_of_the_store_causes_no_loop_of_doorbells(db: Database, child: SimpleNamespace) -> None:
    (job,) = submit(db, new_job())

    for _ in range(5):
        tasks.detect.apply(task_id=new_id())

    assert is_waiting(db, job.id)
    # The sweep rings. If each task rang, the tasks would run in an endless loop.
    assert child.rings <= 1


def test_a_terminated_process_returns_its_claims(
    db: Database, child: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = submit(db, new_job())

    def terminated(*_: Any) -> None:
        raise SystemExit(0)

    monkeypatch.setattr(child.images, "get", terminated)
    with pytest.raises(SystemExit):
        tasks.detect.apply(task_id=new_id())

    assert is_waiting(db, job.id)
    assert child.rings == 1, "another process can claim it at once"


def test_an_answer_after_the_lease_expired_is_dropped_and_the_absence_removed(
    db: Database, child: SimpleNamespace
) -> None:
    (job,) = submit(db, new_job())
    held = take(db, lease=-1)
    recovery.expire_leases(db)

    Pipeline(child, new_id())._write(ClaimRun(held, Pictures(CARDS)), answer(held))  # type: ignore[arg-type]

    assert is_waiting(db, job.id)
    with db.read() as connection:
        assert connection.scalar(sa.select(Claim.outcome).where(Claim.id == held.id)) == "forgiven"
        assert connection.scalar(sa.select(Job.absences).where(Job.id == job.id)) == 0


def test_a_hang_is_noticed_after_the_lease_was_lost(db: Database, watchdog: Watchdog, killed: threading.Event) -> None:
    submit(db, new_job())
    held = take(db)

    with watchdog.limit(held, 0.1):
        assert killed.wait(60)


def test_a_hang_is_noticed_while_the_database_hangs(
    db: Database, leases: Leases, watchdog: Watchdog, killed: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(db, new_job())
    held = take(db)
    again = threading.Event()
    for module, name in ((engine.leases, "extend_leases"), (worker.watchdog, "record_cause")):
        monkeypatch.setattr(module, name, lambda *_: again.wait(20) and set())
    monkeypatch.setattr(worker.watchdog, "RECORD_SECONDS", 0.1)

    leases.hold(held)
    time.sleep(0.5)
    with watchdog.limit(held, 0.1):
        assert killed.wait(60)
    leases.drop(held)
    again.set()


def test_after_a_stop_of_the_process_no_picture_counts_as_late(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(db, new_job())
    held = take(db)
    watchdog = Watchdog(db, Leases(db, lease_seconds=15), memory_limit=2**40)
    ended: list[tuple[list[str], str]] = []
    monkeypatch.setattr(watchdog, "end_process", lambda *arguments: ended.append(arguments))

    with watchdog.limit(held, -1):
        watchdog._check(since=worker.watchdog.STOPPED_SECONDS + 1)
    assert ended == []

    with watchdog.limit(held, -1):
        watchdog._check(since=0.5)
    assert ended == [([held.id], recovery.TIMED_OUT)]


def test_a_process_with_too_much_memory_ends_with_this_cause(db: Database, killed: threading.Event) -> None:
    submit(db, new_job())
    held = take(db)
    leases = Leases(db, lease_seconds=15)
    watchdog = Watchdog(db, leases, memory_limit=1)

    leases.hold(held)
    checking = threading.Thread(target=watchdog._check, args=[0], daemon=True)
    checking.start()

    wait_for(lambda: killed.is_set() or not checking.is_alive(), "the end of the check")
    assert killed.is_set()
    with db.read() as connection:
        assert connection.scalar(sa.select(Claim.cause)) == recovery.OUT_OF_MEMORY


def test_leases_are_extended_after_an_unexpected_error(
    db: Database, leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(db, new_job())
    held = take(db)
    beats: list[Any] = []

    def beat(*_: Any) -> set[str]:
        beats.append(_)
        if len(beats) == 1:
            raise RuntimeError("unexpected")
        return {held.id}

    monkeypatch.setattr(engine.leases, "extend_leases", beat)
    leases.hold(held)

    wait_for(lambda: len(beats) > 1, "a second heartbeat")
    leases.drop(held)


def child_with(
    db: Database,
    settings: Settings,
    entries: Mapping[str, ModelEntry],
    load: Callable[..., Any],
) -> Child:
    """A child that loads its models with this function."""
    child = Child.__new__(Child)
    child.db, child.plan, child.device, child.settings = db, PLAN, "cpu", settings
    child.registry = ModelRegistry(settings, "pytorch", entries)
    child.breakers = CircuitBreakers(db, PLAN.worker_id, is_served=lambda _: True, on_close=lambda: None)
    child.models = LoadedModels(load, device="cpu", threads=1, capacity=settings.models_in_memory)  # type: ignore[arg-type]
    return child


def test_a_model_that_cannot_be_loaded_is_no_longer_served(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def unusable(*_: Any, **__: Any) -> None:
        raise ModelUnusable("Model cards can't be loaded.")

    broken = child_with(db, Settings(), {"cards": CARDS}, unusable)
    worker_registry.register(
        db, PLAN.worker_id, runtime="pytorch", host="here", models={"cards": CARDS.digest}, device="cpu", versions={}
    )

    assert broken.detector(CARDS) is None
    assert broken.detector(CARDS) is None
    assert broken.registry.models == {}
    assert worker_registry.live_models(db) == set()


class Fragile:
    """A detector that raises for black pictures, and for every picture once it is broken."""

    def __init__(self) -> None:
        self.broken = False

    def detect_one(self, picture: np.ndarray) -> Detections:
        if self.broken or not picture.any():
            raise DetectionFailed("The model raised.")
        return Detections(np.float32([[1, 2, 3, 4]]), np.float32([0.9]), np.array([0]))

    def detect(self, pictures: Sequence[np.ndarray]) -> list[Detections]:
        return [self.detect_one(picture) for picture in pictures]

    def works(self) -> bool:
        return not self.broken

    def time_limit(self, pictures: int, picture_seconds: float) -> float:
        return picture_seconds * pictures

    def require_available(self) -> None:
        pass


@pytest.fixture
def fragile(child: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> Fragile:
    """The detector of the child. The first and third picture are white, the second one is black."""
    fragile = Fragile()
    shades = iter([255, 0, 255])
    child.images.get = lambda _: next(shades)
    child.detector = lambda _: fragile
    monkeypatch.setattr(
        engine.inference, "decode", lambda shade, _, **__: DecodedPicture(np.full((8, 8, 3), shade, np.uint8), 8, 8)
    )
    child.announced = set()
    child.doorbell.announce = child.announced.update
    return fragile


def test_only_the_picture_for_which_the_model_raises_fails(
    db: Database, child: SimpleNamespace, fragile: Fragile
) -> None:
    jobs = [job.id for job in submit(db, *(new_job(number) for number in range(3)))]

    Pipeline(child, new_id()).drain()

    seen = store.get_jobs(db, jobs)
    assert [job.status for job in seen] == ["succeeded", "failed", "succeeded"]
    assert [job.error_code for job in seen] == [None, "detection_failed", None]
    assert child.announced == set(jobs)


def test_a_process_whose_model_always_raises_ends_and_fails_no_job(
    db: Database, child: SimpleNamespace, fragile: Fragile, killed: threading.Event
) -> None:
    jobs = [job.id for job in submit(db, *(new_job(number) for number in range(3)))]
    fragile.broken = True

    working = threading.Thread(target=Pipeline(child, new_id()).drain, daemon=True)
    working.start()

    wait_for(lambda: killed.is_set() or not working.is_alive(), "the end of the work")
    assert killed.is_set()
    assert {job.status for job in store.get_jobs(db, jobs)} == {"running"}


def test_a_worker_that_shuts_down_claims_no_more_jobs(db: Database, child: SimpleNamespace) -> None:
    (job,) = submit(db, new_job())
    child.stopping.set()

    Pipeline(child, new_id()).drain()

    assert is_waiting(db, job.id)
    with db.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(Claim)) == 0


def test_a_process_unloads_models_above_its_limit(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    def load(entry: ModelEntry, **_: Any) -> Any:
        return SimpleNamespace(warm_up=lambda _: None, close=lambda: closed.append(entry.name))

    monkeypatch.setattr(ModelEntry, "verify", lambda _: None)
    entries = {name: CARDS.model_copy(update={"name": name}) for name in ("a", "b", "c")}
    child = child_with(db, Settings(models_in_memory=2), entries, load)

    for name in "abac":
        assert child.detector(entries[name])

    # The least recently used model was unloaded.
    assert closed == ["b"]
    assert [name for name, entry in entries.items() if entry in child.models] == ["a", "c"]


@pytest.fixture
def sweeps() -> list[bool]:
    """One entry per sweep of the maintenance thread: whether leases may expire in it."""
    return []


@pytest.fixture
def maintenance(
    db: Database, database_url: str, sweeps: list[bool], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Maintenance]:
    """A maintenance thread whose first sweep met an outage of the database."""

    def out_at_first(*_: Any, may_expire: bool) -> None:
        sweeps.append(may_expire)
        if len(sweeps) == 1:
            raise DatabaseUnavailable("The database does not answer.")

    monkeypatch.setattr(worker.maintenance, "sweep", out_at_first)
    settings = Settings(database_url=database_url, sweep_seconds=0.2, redis_url="redis://127.0.0.1:1/0")
    maintenance = Maintenance(settings, PLAN, lambda _: None)
    maintenance.start()
    wait_for(lambda: sweeps, "the first round")
    yield maintenance
    maintenance.stop()


@pytest.mark.parametrize(
    ("error", "suspect"),
    [
        (TimeLimitExceeded(370), False),
        (WorkerLostError("Worker exited prematurely: signal 15 (SIGTERM) Job: 3."), False),
        (WorkerLostError("Worker exited prematurely: signal 9 (SIGKILL) Job: 3."), True),
    ],
    ids=["waited for the database until the hard limit", "was terminated", "was killed"],
)
def test_exit_statuses_of_a_child_that_count_as_crashes(
    db: Database, maintenance: Maintenance, error: Exception, suspect: bool
) -> None:
    submit(db, new_job())
    held = take(db, task="ended")

    maintenance.report_child_exit("ended", error)

    wait_for(lambda: store.get_job(db, ids(held)[0]).status == "queued", "the job in the queue")
    assert take(db).alone is suspect


def test_no_lease_expires_right_after_an_outage_of_the_database(maintenance: Maintenance, sweeps: list[bool]) -> None:
    # Workers could not extend their leases in the outage.
    wait_for(lambda: len(sweeps) > 2, "more sweeps")

    assert sweeps[:3] == [True, False, False]


def test_a_sweep_rings_only_for_runtimes_with_waiting_jobs(db: Database) -> None:
    submit(db, new_job(1), new_job(2), new_job(3, runtime="tensorflow"))
    take(db, lease=-1)
    rung: list[str] = []

    report = sweep(db, SimpleNamespace(ring=rung.append))  # type: ignore[arg-type]

    assert report
    assert (report.expired, report.rung, rung) == (["pytorch"], ["pytorch", "tensorflow"], ["pytorch", "tensorflow"])
    finish(db, take(db))
    finish(db, take(db))
    rung.clear()
    sweep(db, SimpleNamespace(ring=rung.append))  # type: ignore[arg-type]
    assert rung == ["tensorflow"]


def test_an_unexpected_error_in_a_recovery_does_not_end_the_thread(
    db: Database, maintenance: Maintenance, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fault(*_: Any, **__: Any) -> None:
        raise RuntimeError("unexpected")

    monkeypatch.setattr(worker.maintenance, "record_crash", fault)
    with caplog.at_level(logging.ERROR):
        maintenance.report_child_exit("ended", WorkerLostError("Worker exited prematurely: signal 9 (SIGKILL) Job: 3."))
        wait_for(lambda: "ending the claims of task ended" in caplog.text, "the fault in the log")

    assert maintenance.is_alive()


def test_a_crash_signal_is_proof_of_a_crash() -> None:
    crash = WorkerLostError("Worker exited prematurely: signal 11 (SIGSEGV) Job: 3.")

    assert ChildExit.from_error(crash) == ChildExit("worker_lost", caused_by_job=True)
