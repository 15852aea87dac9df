"""The doorbell: wakes the workers of a queue through Celery and Redis, and announces finished jobs.

Both only save time. Without Redis the workers find new jobs at the next sweep, and requests find answers by polling.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from jobs.errors import Unavailable
from jobs.settings import Settings

log = logging.getLogger(__name__)

TASK = "boxqueue.detect"
# A header of each message. A worker only logs a newer version: any message in a queue means that jobs may wait.
VERSION_HEADER = "boxqueue_version"
MESSAGE_VERSION = 1
FINISHED_CHANNEL = "boxqueue:finished"

# Time limit of a ring. After a failure, no ring is tried for some seconds, so that requests do not wait for a Redis
# that is down.
RING_TIMEOUT_SECONDS = 0.3
QUIET_AFTER_FAILURE_SECONDS = 5.0
RECONNECT_SECONDS = 1.0
# A few messages in a queue are enough: each worker process that takes one rings again while jobs wait, until all
# processes are awake.
MAX_WAITING_MESSAGES = 4


class Doorbell:
    """Wakes workers and announces finished jobs. Thread-safe. Connects at the first use."""

    def __init__(self, settings: Settings) -> None:
        # Half of the budget is for the connection, half for the answer.
        limit = RING_TIMEOUT_SECONDS / 2
        self._redis = redis.Redis.from_url(
            settings.redis_url, socket_timeout=limit, socket_connect_timeout=limit, retry=None
        )
        self._url = settings.redis_url
        self._celery = Celery("boxqueue-bell", broker=settings.celery_broker, set_as_current=False)
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
        """Puts a message into the runtime's queue unless enough wait there. Never raises: the sweep rings as well."""

        def send() -> None:
            if self._waiting(runtime) < MAX_WAITING_MESSAGES:
                headers = {VERSION_HEADER: MESSAGE_VERSION}
                self._celery.send_task(TASK, queue=runtime, retry=False, ignore_result=True, headers=headers)

        self._unless_down(send, f"the {runtime} workers find new jobs only at the next sweep")

    def announce(self, job_ids: Iterable[str]) -> None:
        """Announces jobs that are finished. Never raises: waiting requests query the database as well."""
        message = ",".join(job_ids)
        self._unless_down(
            lambda: self._redis.publish(FINISHED_CHANNEL, message), "waiting requests get their answers later"
        )

    def waiting(self, runtime: str) -> int | None:
        """Number of messages in the runtime's queue; None if Redis does not answer."""
        try:
            return self._waiting(runtime)
        except redis.RedisError:
            return None

    def ping(self) -> None:
        """Raises `Unavailable` if Redis does not answer."""
        try:
            self._redis.ping()
        except redis.RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error

    def listen(self, stop: threading.Event) -> Iterator[list[str]]:
        """Yields the ids of jobs as they are announced, and an empty list about once a second, until `stop` is set.

        Reconnects after an outage. Announcements of the time between are lost.
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

    def _unless_down(self, send: Callable[[], object], consequence: str) -> None:
        """Calls `send`, unless Redis did not answer a moment ago. Logs a failure and its `consequence`."""
        if time.monotonic() < self._quiet_until:
            return
        try:
            send()
        except (redis.RedisError, OperationalError, OSError) as error:
            self._quiet_until = time.monotonic() + QUIET_AFTER_FAILURE_SECONDS
            log.warning("Redis does not answer, so %s: %s", consequence, error)

    def _waiting(self, runtime: str) -> int:
        return int(self._redis.llen(runtime))
