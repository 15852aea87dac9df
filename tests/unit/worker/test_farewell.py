"""How long a child waits for its parent when both shut down."""

from types import SimpleNamespace

import pytest
from billiard.pool import Worker

from worker import tasks


def test_a_child_does_not_wait_long_for_a_parent_that_reads_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("billiard.pool.time.sleep", pauses.append)
    monkeypatch.setattr("billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT", 300)
    unread = SimpleNamespace(on_ready_counter=SimpleNamespace(value=0))

    tasks.shorten_farewell()
    consumed = Worker._ensure_messages_consumed(unread, completed=1)

    assert not consumed
    assert 0.5 < sum(pauses) <= 2
