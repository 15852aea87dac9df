"""How long a child that ends waits for its parent."""

from types import SimpleNamespace

import pytest
from billiard.pool import Worker

from worker import tasks


def test_a_child_waits_only_shortly_for_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("billiard.pool.time.sleep", pauses.append)
    monkeypatch.setattr("billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT", 300)
    unread = SimpleNamespace(on_ready_counter=SimpleNamespace(value=0))

    tasks.shorten_exit_wait()
    consumed = Worker._ensure_messages_consumed(unread, completed=1)

    assert not consumed
    assert 0.5 < sum(pauses) <= 2
