"""Requests that wait for jobs: one thread per process listens for all of them, and looks into the database as well."""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator

from jobs.errors import Unavailable

log = logging.getLogger(__name__)

# Announcements are lost where Redis is away for a moment, so the database is asked too, once for all who wait.
CHECK_SECONDS = 2.0


class _Waiter:
    def __init__(self, job_ids: Collection[str]) -> None:
        self.open = set(job_ids)
        self.done = threading.Event()


class Waiters:
    """Waits for jobs to have their answer.

    `listen(stop)` gives the ids of finished jobs as they are announced, and an empty list about once a second;
    `unfinished(ids)` tells from the database which have no answer yet. At most `most` requests wait at once.
    """

    def __init__(
        self,
        listen: Callable[[threading.Event], Iterator[list[str]]],
        unfinished: Callable[[Collection[str]], set[str]],
        most: int,
    ) -> None:
        self._listen = listen
        self._unfinished = unfinished
        self._most = most
        self._lock = threading.Lock()
        self._waiters: set[_Waiter] = set()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def wait(self, job_ids: Collection[str], seconds: float) -> None:
        """Returns when all of the jobs have their answer or the time is up.

        Returns at once where too many requests wait already: the threads that are left serve everybody else. Raises
        `DatabaseUnavailable`.
        """
        waiter = _Waiter(job_ids)
        with self._lock:
            if len(self._waiters) >= self._most or self._stop.is_set():
                return
            self._waiters.add(waiter)
            self._start()
        try:
            # Asked only now that the waiter is known: what finishes from here on is announced to it.
            if self._unfinished(job_ids) and not self._stop.is_set():
                waiter.done.wait(seconds)
        finally:
            with self._lock:
                self._waiters.discard(waiter)

    def close(self) -> None:
        """Lets everybody go who waits, and whoever comes later."""
        self._stop.set()
        # Without the lock: a signal handler calls this, and the thread that it interrupts may hold the lock.
        for waiter in list(self._waiters):
            waiter.done.set()

    def _start(self) -> None:
        # Not before the first request waits: a thread of the parent would not survive its fork.
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="waiters", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        checked = time.monotonic()
        for job_ids in self._listen(self._stop):
            if not self._waiters:
                continue
            self._settle(set(job_ids))
            if time.monotonic() - checked >= CHECK_SECONDS:
                self._check()
                checked = time.monotonic()

    def _check(self) -> None:
        with self._lock:
            asked = set().union(*(waiter.open for waiter in self._waiters))
        if not asked:
            return
        try:
            self._settle(asked - self._unfinished(asked))
        except Unavailable as error:
            log.warning("requests that wait learn of results by announcement alone now: %s", error)

    def _settle(self, finished: set[str]) -> None:
        with self._lock:
            for waiter in self._waiters:
                waiter.open -= finished
                if not waiter.open:
                    waiter.done.set()
