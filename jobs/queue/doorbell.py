"""The doorbell: Celery over Redis says "there is work in this queue". Correctness never depends on it."""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from jobs.errors import Unavailable
from jobs.settings import Settings

log = logging.getLogger(__name__)

TASK = "boxqueue.detect"
# In the message's headers, where a worker that does not know of it does not look. It says who rang, and nothing that
# a worker has to understand: whatever rings in its queue means that it should look into the table.
VERSION_HEADER = "boxqueue_version"
MESSAGE_VERSION = 1
FINISHED_CHANNEL = "boxqueue:finished"

# A ring is given up after this long, and none is tried for some seconds: a request must not wait for a dead broker.
RING_BUDGET_SECONDS = 0.3
QUIET_AFTER_FAILURE_SECONDS = 5.0
# Who listens for announcements tries again after this long.
RECONNECT_SECONDS = 1.0
# Doorbells are level-triggered, so a few waiting ones are as good as a thousand. Each worker that answers one rings
# again while there is more, so that all of them wake up.
ENOUGH_WAITING = 4


def celery_broker(redis_url: str) -> str:
    """The same Redis in Celery's spelling: it calls a Unix socket `redis+socket`."""
    return redis_url.replace("unix://", "redis+socket://", 1) if redis_url.startswith("unix://") else redis_url


class Doorbell:
    """Rings the workers and announces finished jobs. Thread-safe; nothing connects before the first use."""

    def __init__(self, settings: Settings) -> None:
        # Half the budget for a connection, half for an answer.
        limit = RING_BUDGET_SECONDS / 2
        self._redis = redis.Redis.from_url(
            settings.redis_url, socket_timeout=limit, socket_connect_timeout=limit, retry=None
        )
        self._url = settings.redis_url
        self._celery = Celery("boxqueue-bell", broker=celery_broker(settings.redis_url), set_as_current=False)
        self._celery.conf.update(
            task_serializer="json",
            task_ignore_result=True,
            broker_transport_options={
                "socket_timeout": limit,
                "socket_connect_timeout": limit,
                "retry_on_timeout": False,
                "max_retries": 0,
            },
        )
        self._quiet_until = 0.0

    def ring(self, runtime: str) -> None:
        """Puts a doorbell into the runtime's queue unless enough wait there. Never raises: the sweep rings as well."""
        if time.monotonic() < self._quiet_until:
            return
        try:
            if self._waiting(runtime) < ENOUGH_WAITING:
                self._celery.send_task(
                    TASK,
                    queue=runtime,
                    retry=False,
                    ignore_result=True,
                    headers={VERSION_HEADER: MESSAGE_VERSION},
                )
        except (redis.RedisError, OperationalError, OSError) as error:
            self._quiet_until = time.monotonic() + QUIET_AFTER_FAILURE_SECONDS
            log.warning("redis does not answer, so the %s workers find new jobs at the next sweep: %s", runtime, error)

    def announce(self, job_ids: Iterable[str]) -> None:
        """Tells waiting requests that these jobs have their answer. Never raises: they look for themselves as well."""
        if time.monotonic() < self._quiet_until:
            return
        try:
            self._redis.publish(FINISHED_CHANNEL, ",".join(job_ids))
        except redis.RedisError as error:
            self._quiet_until = time.monotonic() + QUIET_AFTER_FAILURE_SECONDS
            log.warning("redis does not answer, so waiting requests learn of results more slowly: %s", error)

    def waiting(self, runtime: str) -> int | None:
        """Doorbells in the runtime's queue; None where Redis does not answer."""
        try:
            return self._waiting(runtime)
        except redis.RedisError:
            return None

    def ping(self) -> None:
        """Raises `Unavailable` where Redis does not answer."""
        try:
            self._redis.ping()
        except redis.RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error

    def listen(self, stop: threading.Event) -> Iterator[list[str]]:
        """Ids of jobs as they are announced, until `stop` is set; an empty list about once a second.

        Reconnects by itself; what was announced meanwhile is missed.
        """
        while not stop.is_set():
            client = redis.Redis.from_url(self._url, socket_timeout=5, socket_connect_timeout=2)
            try:
                with client, client.pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
                    channel.subscribe(FINISHED_CHANNEL)
                    while not stop.is_set():
                        message: dict[str, Any] | None = channel.get_message(timeout=1.0)
                        yield message["data"].decode().split(",") if message else []
            except redis.RedisError:
                yield []
                stop.wait(RECONNECT_SECONDS)

    def _waiting(self, runtime: str) -> int:
        return int(self._redis.llen(runtime))
