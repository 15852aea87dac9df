"""Back-pressure: how much may wait in a queue before it takes no more, and when it is worth to come back.

Only what goes before a job counts: those of its own priority or a higher one. So bulk work that fills a queue keeps
more bulk work out, and not the single picture that somebody waits for.
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

# What a look at a queue found holds for so many times as long as the look took: so looking costs 2 % of the time, be
# the queue short or deep, and a short one is looked at almost every time.
REST = 50
# A client is told to come back when so much of the limit is expected to be free. With every single place given away at
# once, most uploads would meet a full queue and be sent for nothing.
FREE_SHARE = 0.01
SHORTEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1, 60
# Where nobody takes jobs just now, nobody knows when there is room.
UNKNOWN_WAIT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class _QueueState:
    """A queue as it was a moment ago."""

    fullest: int | None = None
    """Jobs of this priority and of lower ones are too many; None where the queue is not full."""
    late: int | None = None
    """In this priority or a higher one a job has waited too long; None where none has."""
    waiting: Mapping[int, int] = field(default_factory=dict)
    """Priority -> queued jobs; only where the queue is full or late."""
    rate: float = 0.0
    """Jobs a second that leave it."""
    workers: int = 0
    until: float = 0.0

    @property
    def closed_up_to(self) -> int | None:
        found = [priority for priority in (self.fullest, self.late) if priority is not None]
        return max(found, default=None)


class Backpressure:
    """The limits of every queue. Thread-safe; what it knows of a queue is shared by all requests of a process."""

    def __init__(self, db: Database, most_jobs: int, most_seconds: float | None) -> None:
        """`most_jobs` 0 and `most_seconds` None are no limit."""
        self._db = db
        self._most_jobs = most_jobs
        self._most_seconds = most_seconds
        self._looking = threading.Lock()
        self._looks: dict[str, _QueueState] = {}

    def refusal(self, runtime: str, priority: int, number: int) -> QueueFull | None:
        """Why so many jobs of a priority are not taken just now; None where they are.

        A request is taken whole where there is any room, so the limit may be passed by one request a thread, and by
        what other processes took since the last look. Raises `DatabaseUnavailable`.
        """
        look = self._look(runtime)
        if look.closed_up_to is None or priority > look.closed_up_to:
            return None
        ahead = sum(jobs for waiting, jobs in look.waiting.items() if waiting >= priority)
        seconds = self._wait(look, ahead, number)
        if look.fullest is not None and priority <= look.fullest:
            why = (
                f"The queue {runtime} is full: {ahead:,} jobs of priority {priority} or higher wait "
                f"(BOXQUEUE_MAX_QUEUED_JOBS is {self._most_jobs:,})"
            )
        else:
            why = (
                f"The queue {runtime} is behind: a job of priority {priority} or higher has waited longer than "
                f"{self._most_seconds:g} s (BOXQUEUE_MAX_QUEUED_SECONDS)"
            )
        nobody = "" if look.workers else ", and no worker is there to take them"
        return QueueFull(f"{why}{nobody}. Send the same request again in {seconds} s.", seconds)

    def closed_up_to(self, runtime: str) -> int | None:
        """The highest priority that is refused just now; None where all are taken. Raises `DatabaseUnavailable`."""
        return self._look(runtime).closed_up_to

    def _wait(self, look: _QueueState, ahead: int, number: int) -> int:
        """Seconds until there is room, at the rate at which jobs leave the queue."""
        if not look.rate or not look.workers:
            return UNKNOWN_WAIT_SECONDS
        limit = self._most_jobs or ahead
        leave = max(0, ahead - limit) + max(number, int(limit * FREE_SHARE))
        return min(max(math.ceil(leave / look.rate), SHORTEST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)

    def _look(self, runtime: str) -> _QueueState:
        if not self._most_jobs and self._most_seconds is None:
            return _QueueState()
        known = self._looks.get(runtime)
        if known and time.monotonic() < known.until:
            return known
        # While one request looks, the others go by what was known before.
        if not self._looking.acquire(blocking=known is None):
            return known or _QueueState()
        try:
            if (other := self._looks.get(runtime)) and time.monotonic() < other.until:
                return other
            started = time.monotonic()
            with self._db.read() as connection:
                look = self._ask(connection, runtime)
            took = time.monotonic() - started
            self._looks[runtime] = replace(look, until=started + took * (REST + 1))
        finally:
            self._looking.release()
        return self._looks[runtime]

    def _ask(self, connection: Connection, runtime: str) -> _QueueState:
        waiting: Counter[int] = Counter()
        late = None
        for row in queue_depths(connection, runtime):
            waiting[row.priority] += row.number
            if self._most_seconds is not None and row.oldest_s > self._most_seconds:
                late = row.priority if late is None else max(late, row.priority)
        fullest = self._fullest(waiting)
        if fullest is None and late is None:
            return _QueueState()
        return _QueueState(
            fullest,
            late,
            waiting=waiting,
            rate=rates(connection).get(runtime, 0.0),
            workers=live_workers(connection).get(runtime, 0),
        )

    def _fullest(self, waiting: Mapping[int, int]) -> int | None:
        """The priority whose jobs, with all that go before them, are as many as there may be."""
        ahead = 0
        for priority in sorted(waiting, reverse=True):
            ahead += waiting[priority]
            if self._most_jobs and ahead >= self._most_jobs:
                return priority
        return None
