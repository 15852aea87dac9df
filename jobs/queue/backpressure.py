"""Backpressure: how many jobs may wait in a queue before it refuses more, and when a client should try again.

For a new job, only jobs of its own priority or a higher one are counted, because these run first. So bulk work that
fills a queue keeps out more bulk work, but not a single picture of a higher priority.
"""

import math
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sqlalchemy.engine import Connection

from jobs.database import Database
from jobs.errors import QueueFull
from jobs.queue.queries import queue_depths
from jobs.queue.worker_registry import live_workers, rates

# The state of a queue is reused for this many times the duration of its query. So the queries take 2 % of the time,
# however deep the queue is.
REUSE_FACTOR = 50
# A client is asked to try again when this share of the limit is expected to be free. If clients came back for each free
# place, most of them would send their pictures and find the queue full again.
FREE_SHARE_AT_RETRY = 0.01
MIN_WAIT_SECONDS, MAX_WAIT_SECONDS = 1, 60
# When no worker takes jobs, the time until there is room is unknown.
DEFAULT_WAIT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class _QueueState:
    """A queue as it was when it was last queried."""

    full_up_to: int | None = None
    """The highest priority for which too many jobs wait; None if the queue is not full."""
    late_up_to: int | None = None
    """The highest priority of which a job has waited too long; None if none has."""
    waiting: Mapping[int, int] = field(default_factory=dict)
    """Priority -> queued jobs; only if the queue is full or late."""
    rate: float = 0.0
    """Jobs a second that leave the queue."""
    workers: int = 0
    """Live workers."""
    valid_until: float = 0.0
    """On the monotonic clock."""

    @property
    def closed_up_to(self) -> int | None:
        """The highest priority that is refused; None if all are taken."""
        return max((found for found in (self.full_up_to, self.late_up_to) if found is not None), default=None)


class Backpressure:
    """The limits of every queue. Thread-safe. All requests of a process share the states of the queues."""

    def __init__(self, db: Database, max_jobs: int, max_seconds: float | None) -> None:
        """`max_jobs` and `max_seconds` (age of the oldest job) limit each queue; 0 and None are no limit."""
        self._db = db
        self._max_jobs = max_jobs
        self._max_seconds = max_seconds
        self._querying = threading.Lock()
        self._states: dict[str, _QueueState] = {}

    def refusal(self, runtime: str, priority: int, number: int) -> QueueFull | None:
        """Why `number` jobs of a priority are refused; None if they are taken.

        If there is any room, all jobs of a request are taken. So the queue may exceed its limit by one request for each
        thread, and by the jobs that other processes took since the last query. Raises `DatabaseUnavailable`.
        """
        state = self._state(runtime)
        if state.closed_up_to is None or priority > state.closed_up_to:
            return None
        ahead = sum(jobs for waiting, jobs in state.waiting.items() if waiting >= priority)
        seconds = self._wait(state, ahead, number)
        if state.full_up_to is not None and priority <= state.full_up_to:
            why = (
                f"The queue {runtime} is full: {ahead:,} jobs of priority {priority} or higher wait "
                f"(BOXQUEUE_MAX_QUEUED_JOBS is {self._max_jobs:,})"
            )
        else:
            why = (
                f"The queue {runtime} is behind: a job of priority {priority} or higher has waited longer than "
                f"{self._max_seconds:g} s (BOXQUEUE_MAX_QUEUED_SECONDS)"
            )
        no_worker = "" if state.workers else ", and no live worker takes them"
        return QueueFull(f"{why}{no_worker}. Send the same request again in {seconds} s.", seconds)

    def closed_up_to(self, runtime: str) -> int | None:
        """The highest priority that is refused at present; None if all are taken. Raises `DatabaseUnavailable`."""
        return self._state(runtime).closed_up_to

    def _wait(self, state: _QueueState, ahead: int, number: int) -> int:
        """Seconds until there is room, at the rate at which jobs leave the queue."""
        if not state.rate or not state.workers:
            return DEFAULT_WAIT_SECONDS
        limit = self._max_jobs or ahead
        leave = max(0, ahead - limit) + max(number, int(limit * FREE_SHARE_AT_RETRY))
        return min(max(math.ceil(leave / state.rate), MIN_WAIT_SECONDS), MAX_WAIT_SECONDS)

    def _state(self, runtime: str) -> _QueueState:
        if not self._max_jobs and self._max_seconds is None:
            return _QueueState()
        known = self._states.get(runtime)
        if known and time.monotonic() < known.valid_until:
            return known
        # While one request queries, the others use the state before.
        if not self._querying.acquire(blocking=known is None):
            return known or _QueueState()
        try:
            if (other := self._states.get(runtime)) and time.monotonic() < other.valid_until:
                return other
            started = time.monotonic()
            with self._db.read() as connection:
                state = self._query(connection, runtime)
            took = time.monotonic() - started
            self._states[runtime] = replace(state, valid_until=started + took * (REUSE_FACTOR + 1))
        finally:
            self._querying.release()
        return self._states[runtime]

    def _query(self, connection: Connection, runtime: str) -> _QueueState:
        waiting: Counter[int] = Counter()
        late = None
        for row in queue_depths(connection, runtime):
            waiting[row.priority] += row.number
            if self._max_seconds is not None and row.oldest_s > self._max_seconds:
                late = row.priority if late is None else max(late, row.priority)
        full = self._full_up_to(waiting)
        if full is None and late is None:
            return _QueueState()
        return _QueueState(
            full,
            late,
            waiting=waiting,
            rate=rates(connection).get(runtime, 0.0),
            workers=live_workers(connection).get(runtime, 0),
        )

    def _full_up_to(self, waiting: Mapping[int, int]) -> int | None:
        """The highest priority whose jobs, with all that go before them, reach the limit; None if none does."""
        ahead = 0
        for priority in sorted(waiting, reverse=True):
            ahead += waiting[priority]
            if self._max_jobs and ahead >= self._max_jobs:
                return priority
        return None
