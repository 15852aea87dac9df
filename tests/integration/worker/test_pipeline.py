"""What the worker does with its claims when something around it fails, on real databases, within this process."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from billiard.exceptions import TimeLimitExceeded, WorkerLostError

import worker.maintenance
import worker.pipeline
import worker.watchdog
from detectors.catalogue import Input, ModelEntry
from detectors.errors import DetectionFailed, ModelUnusable
from detectors.pictures.decode import Decoded
from detectors.postprocess import Detections
from engine.circuit_breaker import CircuitBreakers
from engine.model_registry import ModelRegistry
from jobs import store
from jobs.database import Database
from jobs.errors import DatabaseUnavailable, StoreUnavailable
from jobs.queue import claims, recovery, worker_registry
from jobs.queue.sweep import sweep
from jobs.settings import Settings
from jobs.tables import Claim, Job, new_id
from tests.integration.jobs.engine import DIGEST, answer, finish, ids, new_job, submit, take
from tests.services.waiting import wait_for
from worker import tasks
from worker.child import Child
from worker.maintenance import Maintenance, cause_of_crash
from worker.pipeline import Pipeline, Work
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
def vigil(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watchdog]:
    monkeypatch.setattr(worker.watchdog, "TICK_SECONDS", 0.05)
    vigil = Watchdog(db, lease_seconds=1.0, memory_limit=2**40)
    vigil.start()
    yield vigil
    # It watches for ever, and a thread that a test left in the middle of its work must not end this process later.
    vigil.end_process = lambda *_: None  # type: ignore[method-assign]
    vigil.drop_all()


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when the vigil kills this process, which it does not."""
    event = threading.Event()

    def kill(*_: int) -> None:
        event.set()
        threading.Event().wait()  # the thread goes no further, as after a real one

    monkeypatch.setattr(worker.watchdog.os, "kill", kill)
    return event


@pytest.fixture
def child(db: Database, vigil: Watchdog, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A child whose image store is out."""

    def out(_: str) -> bytes:
        raise StoreUnavailable("The image store's folder is not there.")

    child = SimpleNamespace(
        db=db,
        vigil=vigil,
        plan=PLAN,
        device="cpu",
        settings=Settings(drain_seconds=0, lease_seconds=1.0),
        served=SimpleNamespace(follow=lambda: False, models={"cards": CARDS}),
        takes=lambda _: {"cards": (DIGEST, 8)},
        stopping=threading.Event(),
        quiet_until=0.0,
        rings=0,
        images=SimpleNamespace(get=out),
        queue=SimpleNamespace(ring=lambda _: setattr(child, "rings", child.rings + 1)),
    )
    monkeypatch.setattr(tasks, "_child", child)
    return child


def is_waiting(db: Database, job_id: str) -> bool:
    job = store.get_job(db, job_id)
    return (job.status, job.deaths) == ("queued", 0)


@pytest.mark.parametrize("fails", ["has_waiting", "give_back"])
def test_a_database_that_goes_away_after_a_claim_leaves_no_claim_behind(
    db: Database, child: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    (job,) = submit(db, new_job())

    def out(*_: Any) -> None:
        raise DatabaseUnavailable("The database does not answer.")

    monkeypatch.setattr(worker.pipeline, fails, out)
    tasks.detect.apply(task_id=new_id())

    # Else it would be held, and its lease extended, for as long as this process lives.
    wait_for(lambda: is_waiting(db, job.id), "the job in the queue")
    assert not take(db).alone


def test_a_claim_whose_commit_was_never_heard_of_is_given_back(
    db: Database, child: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = submit(db, new_job())
    real = claims.claim

    def claim_and_break(*given: Any, **named: Any) -> None:
        real(*given, **named)
        raise DatabaseUnavailable("The connection to the database broke.")

    monkeypatch.setattr(worker.pipeline, "claim", claim_and_break)
    tasks.detect.apply(task_id=new_id())

    wait_for(lambda: is_waiting(db, job.id), "the job in the queue")


def test_a_store_that_is_out_is_not_asked_again_and_again(db: Database, child: SimpleNamespace) -> None:
    (job,) = submit(db, new_job())

    for _ in range(5):
        tasks.detect.apply(task_id=new_id())

    assert is_waiting(db, job.id)
    # The sweep rings; a ring from each task would make a loop as fast as the machine.
    assert child.rings <= 1


def test_a_terminated_process_gives_back_what_it_holds(
    db: Database, child: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job,) = submit(db, new_job())

    def terminated(*_: Any) -> None:
        raise SystemExit(0)

    monkeypatch.setattr(child.images, "get", terminated)
    with pytest.raises(SystemExit):
        tasks.detect.apply(task_id=new_id())

    assert is_waiting(db, job.id)
    assert child.rings == 1, "whoever is left learns of it at once"


def test_an_answer_that_comes_after_the_lease_is_dropped_and_shows_that_the_worker_lives(
    db: Database, child: SimpleNamespace
) -> None:
    (job,) = submit(db, new_job())
    held = take(db, lease=-1)
    recovery.expire_leases(db)

    Pipeline(child, new_id())._write(Work(held, SimpleNamespace()), answer(held))  # type: ignore[arg-type]

    assert is_waiting(db, job.id)
    with db.read() as connection:
        assert connection.scalar(sa.select(Claim.outcome).where(Claim.id == held.id)) == "forgiven"
        assert connection.scalar(sa.select(Job.absences).where(Job.id == job.id)) == 0


def test_a_hang_is_noticed_after_the_lease_was_lost(db: Database, vigil: Watchdog, killed: threading.Event) -> None:
    submit(db, new_job())
    held = take(db)

    with vigil.limit(held, 0.1):
        assert killed.wait(60)


def test_a_hang_is_noticed_while_the_database_hangs(
    db: Database, vigil: Watchdog, killed: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(db, new_job())
    held = take(db)
    again = threading.Event()
    for name in ("extend_leases", "record_cause"):
        monkeypatch.setattr(worker.watchdog, name, lambda *_: again.wait(20) and set())
    monkeypatch.setattr(worker.watchdog, "ACCUSE_SECONDS", 0.1)

    vigil.hold(held)
    time.sleep(0.5)
    with vigil.limit(held, 0.1):
        assert killed.wait(60)
    vigil.drop(held)
    again.set()


def test_a_process_that_was_stopped_for_a_while_blames_no_picture(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(db, new_job())
    held = take(db)
    vigil = Watchdog(db, lease_seconds=15, memory_limit=2**40)
    ended: list[tuple[list[str], str]] = []
    monkeypatch.setattr(vigil, "end_process", lambda *given: ended.append(given))

    with vigil.limit(held, -1):
        vigil._look(since=worker.watchdog.STOPPED_SECONDS + 1)
    assert ended == []

    with vigil.limit(held, -1):
        vigil._look(since=0.5)
    assert ended == [([held.id], recovery.TIMED_OUT)]


def test_a_process_that_has_too_much_memory_ends_and_says_so(db: Database, killed: threading.Event) -> None:
    submit(db, new_job())
    held = take(db)
    vigil = Watchdog(db, lease_seconds=15, memory_limit=1)

    vigil.hold(held)
    looking = threading.Thread(target=vigil._look, args=[0], daemon=True)
    looking.start()

    wait_for(lambda: killed.is_set() or not looking.is_alive(), "the end of the look")
    assert killed.is_set()
    with db.read() as connection:
        assert connection.scalar(sa.select(Claim.cause)) == recovery.OUT_OF_MEMORY


def test_a_heartbeat_that_fails_in_an_unknown_way_is_not_the_last(
    db: Database, vigil: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(db, new_job())
    held = take(db)
    beats: list[Any] = []

    def beat(*_: Any) -> set[str]:
        beats.append(_)
        if len(beats) == 1:
            raise RuntimeError("nobody thought of this")
        return {held.id}

    monkeypatch.setattr(worker.watchdog, "extend_leases", beat)
    vigil.hold(held)

    wait_for(lambda: len(beats) > 1, "a second heartbeat")
    vigil.drop(held)


def test_a_model_that_can_not_be_loaded_is_no_surprise_to_the_next_claim(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unusable(*_: Any, **__: Any) -> None:
        raise ModelUnusable("Model cards can't be loaded.")

    broken = Child.__new__(Child)
    broken.db, broken.plan, broken.device, broken.settings = db, PLAN, "cpu", Settings()
    broken.served = ModelRegistry(Settings(), "pytorch", PLAN.models)
    broken.circuits = CircuitBreakers(db, PLAN.worker_id, is_served=lambda _: True, on_close=lambda: None)
    broken._detectors, broken._detector_class = {}, unusable  # type: ignore[assignment]
    worker_registry.register(
        db, PLAN.worker_id, runtime="pytorch", host="here", models={"cards": CARDS.digest}, device="cpu", versions={}
    )

    assert broken.detector(CARDS) is None
    assert broken.detector(CARDS) is None
    assert broken.served.models == {}
    assert worker_registry.live_models(db) == set()


class Fragile:
    """A detector that raises where a picture is black, and on every picture once it is broken."""

    patience_s = 0.0

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


@pytest.fixture
def fragile(child: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> Fragile:
    """What the child works with; its pictures are white, but the second one."""
    fragile = Fragile()
    shades = iter([255, 0, 255])
    child.images.get = lambda _: next(shades)
    child.detector = lambda _: fragile
    monkeypatch.setattr(
        worker.pipeline, "decode", lambda shade, _: Decoded(np.full((8, 8, 3), shade, np.uint8), width=8, height=8)
    )
    child.announced = set()
    child.queue.announce = child.announced.update
    return fragile


def test_a_picture_on_which_the_model_raises_fails_alone(
    db: Database, child: SimpleNamespace, fragile: Fragile
) -> None:
    jobs = [job.id for job in submit(db, *(new_job(number) for number in range(3)))]

    Pipeline(child, new_id()).drain()

    seen = store.get_jobs(db, jobs)
    assert [job.status for job in seen] == ["succeeded", "failed", "succeeded"]
    assert [job.error_code for job in seen] == [None, "detection_failed", None]
    assert child.announced == set(jobs)


def test_a_process_whose_model_raises_on_everything_ends_before_it_fails_all(
    db: Database, child: SimpleNamespace, fragile: Fragile, killed: threading.Event
) -> None:
    jobs = [job.id for job in submit(db, *(new_job(number) for number in range(3)))]
    fragile.broken = True

    working = threading.Thread(target=Pipeline(child, new_id()).drain, daemon=True)
    working.start()

    wait_for(lambda: killed.is_set() or not working.is_alive(), "the end of the work")
    assert killed.is_set()
    assert {job.status for job in store.get_jobs(db, jobs)} == {"running"}


def test_a_worker_that_shuts_down_takes_nothing_more(db: Database, child: SimpleNamespace) -> None:
    (job,) = submit(db, new_job())
    child.stopping.set()

    Pipeline(child, new_id()).drain()

    assert is_waiting(db, job.id)
    with db.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(Claim)) == 0


def test_a_process_keeps_no_more_models_than_it_may(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    def load(entry: ModelEntry, **_: Any) -> Any:
        return SimpleNamespace(warm_up=lambda _: None, close=lambda: closed.append(entry.name))

    monkeypatch.setattr(ModelEntry, "verify", lambda _: None)
    entries = {name: CARDS.model_copy(update={"name": name}) for name in ("a", "b", "c")}
    child = Child.__new__(Child)
    child.db, child.plan, child.device, child.memory_limit = db, PLAN, "cpu", 2**40
    child.settings = Settings(models_in_memory=2)
    child.served = ModelRegistry(child.settings, "pytorch", entries)
    child.circuits = CircuitBreakers(db, PLAN.worker_id, is_served=lambda _: True, on_close=lambda: None)
    child._detectors, child._detector_class = OrderedDict(), load  # type: ignore[assignment]

    for name in "abac":
        assert child.detector(entries[name])

    # The one that was not used for longest made room.
    assert closed == ["b"]
    assert [entry.name for entry in child._detectors] == ["a", "c"]


@pytest.fixture
def rounds() -> list[bool]:
    """The sweeps of the keeper, and whether leases could run out in each."""
    return []


@pytest.fixture
def keeper(
    db: Database, database_url: str, rounds: list[bool], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Maintenance]:
    """A keeper whose database was out when it first looked."""

    def out_at_first(*_: Any, may_expire: bool) -> None:
        rounds.append(may_expire)
        if len(rounds) == 1:
            raise DatabaseUnavailable("The database does not answer.")

    monkeypatch.setattr(worker.maintenance, "sweep", out_at_first)
    settings = Settings(database_url=database_url, sweep_seconds=0.2, redis_url="redis://127.0.0.1:1/0")
    keeper = Maintenance(settings, PLAN, lambda _: None)
    keeper.start()
    wait_for(lambda: rounds, "the first round")
    yield keeper
    keeper.stop()


@pytest.mark.parametrize(
    ("error", "suspect"),
    [
        (TimeLimitExceeded(370), False),
        (WorkerLostError("Worker exited prematurely: signal 15 (SIGTERM) Job: 3."), False),
        (WorkerLostError("Worker exited prematurely: signal 9 (SIGKILL) Job: 3."), True),
    ],
    ids=["waited for the database until the hard limit", "was terminated", "was killed"],
)
def test_who_counts_as_dead(db: Database, keeper: Maintenance, error: Exception, suspect: bool) -> None:
    submit(db, new_job())
    held = take(db, task="ended")

    keeper.bury("ended", error)

    wait_for(lambda: store.get_job(db, ids(held)[0]).status == "queued", "the job in the queue")
    assert take(db).alone is suspect


def test_no_lease_runs_out_right_after_an_outage_of_the_database(keeper: Maintenance, rounds: list[bool]) -> None:
    # Nobody could extend one meanwhile.
    wait_for(lambda: len(rounds) > 2, "more rounds")

    assert rounds[:3] == [True, False, False]


def test_a_sweep_rings_for_what_waits_and_for_nothing_else(db: Database) -> None:
    submit(db, new_job(1), new_job(2), new_job(3, runtime="tensorflow"))
    take(db, lease=-1)
    rung: list[str] = []

    swept = sweep(db, SimpleNamespace(ring=rung.append))  # type: ignore[arg-type]

    assert swept
    assert (swept.expired, swept.rung, rung) == (["pytorch"], ["pytorch", "tensorflow"], ["pytorch", "tensorflow"])
    finish(db, take(db))
    finish(db, take(db))
    rung.clear()
    sweep(db, SimpleNamespace(ring=rung.append))  # type: ignore[arg-type]
    assert rung == ["tensorflow"]


def test_a_fault_in_a_burial_does_not_end_the_keeper(
    db: Database, keeper: Maintenance, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fault(*_: Any, **__: Any) -> None:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(worker.maintenance, "record_crash", fault)
    with caplog.at_level(logging.ERROR):
        keeper.bury("ended", WorkerLostError("Worker exited prematurely: signal 9 (SIGKILL) Job: 3."))
        wait_for(lambda: "dead task" in caplog.text, "the fault in the log")

    assert keeper.is_alive()


def test_a_crash_of_its_own_doing_is_proof() -> None:
    assert cause_of_crash(WorkerLostError("Worker exited prematurely: signal 11 (SIGSEGV) Job: 3.")) == (
        "worker_lost", True,
    )  # fmt: skip
