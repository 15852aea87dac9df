import threading
from unittest.mock import patch

import fakeredis
import pytest

from jobs.errors import Unavailable
from jobs.queue.doorbell import FINISHED_CHANNEL, MAX_WAITING_MESSAGES, RING_TIMEOUT_SECONDS, Doorbell
from jobs.settings import Settings


@pytest.fixture
def dead_queue() -> Doorbell:
    """A doorbell without its Redis."""
    return Doorbell(Settings(redis_url="redis://127.0.0.1:1/0"))


def test_a_dead_redis_is_tried_once_and_for_a_short_time(dead_queue: Doorbell) -> None:
    connections = dead_queue._redis.connection_pool
    limits = [connections.connection_kwargs[name] for name in ("socket_connect_timeout", "socket_timeout")]
    assert sum(limits) <= RING_TIMEOUT_SECONDS
    with patch.object(connections, "get_connection", wraps=connections.get_connection) as tried:
        for _ in range(1000):
            dead_queue.ring("pytorch")
            dead_queue.announce(["id"])

    assert tried.call_count == 1


def test_a_dead_redis_is_reported(dead_queue: Doorbell) -> None:
    assert dead_queue.waiting("pytorch") is None
    with pytest.raises(Unavailable):
        dead_queue.ping()


def test_no_doorbell_is_added_when_enough_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Doorbell(Settings(redis_url="redis://127.0.0.1:1/0"))
    server = fakeredis.FakeRedis()
    sent: list[str] = []
    monkeypatch.setattr(queue, "_redis", server)
    monkeypatch.setattr(queue._celery, "send_task", lambda *_, queue, **__: sent.append(queue))
    server.rpush("pytorch", *["bell"] * (MAX_WAITING_MESSAGES - 1))

    queue.ring("pytorch")
    server.rpush("pytorch", "bell")
    queue.ring("pytorch")

    assert sent == ["pytorch"]


def test_finished_jobs_are_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    server = fakeredis.FakeServer()
    monkeypatch.setattr("redis.Redis.from_url", lambda *_, **__: fakeredis.FakeRedis(server=server))
    queue, stop = Doorbell(Settings()), threading.Event()
    heard = queue.listen(stop)
    assert next(heard) == []

    queue.announce(["a", "b"])

    assert next(heard) == ["a", "b"]
    stop.set()
    assert fakeredis.FakeRedis(server=server).pubsub_numsub(FINISHED_CHANNEL)
