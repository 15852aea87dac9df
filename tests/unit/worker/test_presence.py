"""The entry that shows that a worker is there, while the database comes and goes."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import worker.presence
from jobs import workers
from jobs.database import Database
from jobs.errors import DatabaseUnavailable
from jobs.tables import new_id
from tests.services.waiting import wait_for
from worker.presence import Presence

AWAY = DatabaseUnavailable("The database does not answer.")


@pytest.fixture
def db(migrated_sqlite: str) -> Iterator[Database]:
    db = Database(migrated_sqlite)
    yield db
    db.close()


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Exception]]:
    """What the next calls of `jobs.workers` raise, one by one; then they do what they do."""
    faults: dict[str, list[Exception]] = {"seen": [], "leave": []}

    def broken(name: str) -> Any:
        call = getattr(workers, name)

        def run(*arguments: Any) -> Any:
            if faults[name]:
                raise faults[name].pop(0)
            return call(*arguments)

        return run

    patched = {name: broken(name) for name in faults} | {"SEEN_SECONDS": 0.01}
    monkeypatch.setattr(worker.presence, "workers", SimpleNamespace(**{**vars(workers), **patched}))
    return faults


@pytest.fixture
def presence(db: Database) -> Presence:
    plan = SimpleNamespace(
        worker_id=new_id(), runtime="pytorch", device="cpu", digests={"cards": "d" * 64}, versions={}
    )
    return Presence(db, plan)  # type: ignore[arg-type]


def alive(db: Database) -> list[int]:
    return [queue.workers for queue in workers.queues(db) if queue.workers]


def test_it_enters_when_the_database_is_back_whatever_went_wrong_before(
    db: Database, presence: Presence, faults: dict[str, list[Exception]], caplog: pytest.LogCaptureFixture
) -> None:
    faults["seen"] = [AWAY, KeyError("surprise"), AWAY]

    presence.start()

    wait_for(lambda: alive(db) == [1], "the entry")
    presence.leave()
    assert (alive(db), presence.is_alive()) == ([], False)
    assert "this worker can't say that it is there: The database does not answer." in caplog.text


def test_it_ends_although_its_entry_can_not_be_taken_away(
    db: Database, presence: Presence, faults: dict[str, list[Exception]], caplog: pytest.LogCaptureFixture
) -> None:
    faults["leave"] = [AWAY]
    presence.start()
    wait_for(lambda: alive(db) == [1], "the entry")

    presence.leave()

    assert (alive(db), presence.is_alive()) == ([1], False)
    assert "this worker's entry stays: The database does not answer." in caplog.text
