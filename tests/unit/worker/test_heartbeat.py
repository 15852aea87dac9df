"""The heartbeat of a worker during outages of the database."""

from types import SimpleNamespace

import pytest

import worker.heartbeat
from jobs.database import Database
from jobs.errors import DatabaseUnavailable
from jobs.queue import worker_registry
from jobs.tables import new_id
from tests.faults import faulty
from tests.services.waiting import wait_for
from worker.heartbeat import Heartbeat

AWAY = DatabaseUnavailable("The database does not answer.")


def raise_first(monkeypatch: pytest.MonkeyPatch, **faults: list[Exception]) -> None:
    """What the first calls of functions of the worker registry raise; later calls work."""
    patched = {name: faulty(getattr(worker_registry, name), *raised) for name, raised in faults.items()}
    monkeypatch.setattr(
        worker.heartbeat,
        "worker_registry",
        SimpleNamespace(**{**vars(worker_registry), **patched, "HEARTBEAT_SECONDS": 0.01}),
    )


@pytest.fixture
def beating(db: Database) -> Heartbeat:
    plan = SimpleNamespace(
        worker_id=new_id(), runtime="pytorch", device="cpu", digests={"cards": "d" * 64}, versions={}
    )
    return Heartbeat(db, plan)  # type: ignore[arg-type]


def alive(db: Database) -> list[int]:
    return [queue.workers for queue in worker_registry.queues(db) if queue.workers]


def test_the_heartbeat_registers_the_worker_after_an_outage_or_an_unexpected_error(
    db: Database, beating: Heartbeat, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    raise_first(monkeypatch, refresh=[AWAY, KeyError("surprise"), AWAY])

    beating.start()

    wait_for(lambda: alive(db) == [1], "the entry")
    beating.stop()
    assert (alive(db), beating.is_alive()) == ([], False)
    assert "this worker's entry could not be refreshed: The database does not answer." in caplog.text


def test_the_heartbeat_ends_although_its_entry_cannot_be_removed(
    db: Database, beating: Heartbeat, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    raise_first(monkeypatch, unregister=[AWAY])
    beating.start()
    wait_for(lambda: alive(db) == [1], "the entry")

    beating.stop()

    assert (alive(db), beating.is_alive()) == ([1], False)
    assert "this worker's entry could not be removed: The database does not answer." in caplog.text
