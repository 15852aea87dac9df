"""The circuit breakers of a worker, which stop requests to a model server during its outage."""

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import engine.circuit_breaker
from detectors.catalogue import ModelEntry
from detectors.errors import ModelUnavailable, ServerFailed, ServerTimeout
from engine.circuit_breaker import CircuitBreakers
from jobs.database import Database
from jobs.errors import DatabaseUnavailable
from jobs.queue import worker_registry
from jobs.tables import new_id
from tests import catalogues
from tests.faults import faulty
from tests.services.waiting import wait_for

ENTRY = ModelEntry.model_validate({"name": "distant", **catalogues.server_entry("http://127.0.0.1:9")})
OUT = ModelUnavailable(ServerTimeout("It did not answer."))


class World(SimpleNamespace):
    """A registered worker with circuit breakers. Its detector raises each fault once, and then answers."""

    def recorded(self) -> list[str]:
        return [outage.code for queue in worker_registry.queues(self.db) for outage in queue.outages]

    def detector(self, *faults: Exception) -> Any:
        left = list(faults)

        def detect(_: object) -> None:
            if left:
                raise left.pop(0)

        return SimpleNamespace(detect=detect, blank=lambda: None, close=lambda: self.closed.append(True), left=left)


@pytest.fixture
def world(migrated_sqlite: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(engine.circuit_breaker, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(engine.circuit_breaker, "MAX_PAUSE_SECONDS", 0.05)
    world = World(db=Database(migrated_sqlite), served=True, rung=[], closed=[])
    worker_id = new_id()
    worker_registry.register(world.db, worker_id, runtime="remote", host="h", models={}, device="remote", versions={})
    world.breakers = CircuitBreakers(
        world.db, worker_id, is_served=lambda _: world.served, on_close=lambda: world.rung.append(True)
    )
    yield world
    world.db.close()


def closed(world: World) -> bool:
    return not world.breakers.is_open(ENTRY) and bool(world.rung)


def test_the_reason_of_an_outage_is_recorded_and_a_doorbell_rings_at_its_end(world: World) -> None:
    detector = world.detector(OUT, OUT, *[ModelUnavailable(ServerFailed("500"))] * 10_000)
    world.breakers.open(ENTRY, detector, OUT)

    assert world.breakers.is_open(ENTRY)
    wait_for(lambda: world.recorded() == ["server_failed"], "the current reason")
    assert world.rung == []
    detector.left.clear()
    wait_for(lambda: closed(world), "the end")
    assert (world.recorded(), world.rung, world.closed) == ([], [True], [True])


def test_a_doorbell_rings_when_a_server_is_back(world: World) -> None:
    world.breakers.open(ENTRY, world.detector(), OUT)

    for watch in [thread for thread in threading.enumerate() if thread.name == "prober"]:
        watch.join()

    assert (world.breakers.is_open(ENTRY), world.rung) == (False, [True])


def test_a_server_that_is_back_at_the_first_probe_closes_the_breaker(world: World) -> None:
    world.breakers.open(ENTRY, world.detector(ServerTimeout("It did, then it answered.")), OUT)

    wait_for(lambda: closed(world), "the end")
    assert world.recorded() == []


def test_an_unexpected_error_does_not_end_the_probing(world: World) -> None:
    detector = world.detector(KeyError("surprise"))
    world.breakers.open(ENTRY, detector, OUT)

    wait_for(lambda: closed(world), "the end")
    assert detector.left == []


def test_an_outage_of_the_database_does_not_end_the_probing(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    away = DatabaseUnavailable("gone")
    calls = {name: faulty(getattr(worker_registry, name), away) for name in ("record_outage", "clear_outage")}
    monkeypatch.setattr(engine.circuit_breaker, "worker_registry", SimpleNamespace(**calls))
    detector = world.detector(*[OUT] * 10_000)
    world.breakers.open(ENTRY, detector, OUT)
    wait_for(world.recorded, "the reason, recorded at the second attempt")

    detector.left.clear()

    wait_for(lambda: closed(world), "the end")
    assert world.recorded() == []
    missed = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert missed == ["an outage could not be recorded: gone", "the end of an outage could not be recorded: gone"]


def test_a_model_that_two_claims_found_out_is_probed_once(world: World) -> None:
    detector = world.detector(*[OUT] * 10_000)

    world.breakers.open(ENTRY, detector, OUT)
    world.breakers.open(ENTRY, detector, OUT)

    detector.left.clear()
    wait_for(lambda: closed(world), "the end")
    assert (world.rung, world.closed) == ([True], [True])


def test_the_probing_ends_if_the_model_leaves_the_catalogue(world: World) -> None:
    world.breakers.open(ENTRY, world.detector(*[OUT] * 10_000), OUT)
    wait_for(world.recorded, "the reason")

    world.served = False

    wait_for(lambda: closed(world), "the end")
    assert world.recorded() == []
