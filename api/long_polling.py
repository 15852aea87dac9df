"""Long polling: requests that wait for jobs. One thread per process listens for all of them and polls the database."""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator

from jobs.errors import Unavailable

log = logging.getLogger(__name__)

# Announcements are lost while Redis does not answer. So the database is polled too, with one query for all requests.
POLL_SECONDS = 2.0


class _WaitingRequest:
    def __init__(self, job_ids: Collection[str]) -> None:
        self.unfinished = set(job_ids)
        self.done = threading.Event()


class LongPolling:
    """Lets requests wait until their jobs have their answer."""

    def __init__(
        self,
        listen: Callable[[threading.Event], Iterator[list[str]]],
        unfinished: Callable[[Collection[str]], set[str]],
        max_waiting: int,
    ) -> None:
        """`listen(stop)` yields the ids of finished jobs as workers announce them, and an empty list each second.

        `unfinished(ids)` reads from the database which of the jobs have no answer yet. At most `max_waiting` requests
        wait at once.
        """
        self._listen = listen
        self._unfinished = unfinished
        self._max_waiting = max_waiting
        self._lock = threading.Lock()
        self._waiting: set[_WaitingRequest] = set()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def wait(self, job_ids: Collection[str], seconds: float) -> None:
        """Returns when all of the jobs have their answer or the time is up.

        Returns at once if too many requests wait already, so that threads remain for all other requests. Raises
        `DatabaseUnavailable`.
        """
        waiting = _WaitingRequest(job_ids)
        with self._lock:
            if len(self._waiting) >= self._max_waiting or self._stop.is_set():
                return
            self._waiting.add(waiting)
            self._start()
        try:
            # Only after the request was added: a job that finishes after this query is announced to it.
            if self._unfinished(job_ids) and not self._stop.is_set():
                waiting.done.wait(seconds)
        finally:
            with self._lock:
                self._waiting.discard(waiting)

    def close(self) -> None:
        """Ends the wait of all requests. Later requests do not wait."""
        self._stop.set()
        # Without the lock: a signal handler calls this, and the thread that it interrupts may hold the lock.
        for waiting in list(self._waiting):
            waiting.done.set()

    def _start(self) -> None:
        # Not before the first request waits: a thread of the parent process would not survive the fork.
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="long polling", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        polled = time.monotonic()
        for job_ids in self._listen(self._stop):
            if not self._waiting:
                continue
            self._mark_finished(set(job_ids))
            if time.monotonic() - polled >= POLL_SECONDS:
                self._poll_database()
                polled = time.monotonic()

    def _poll_database(self) -> None:
        with self._lock:
            job_ids = set().union(*(waiting.unfinished for waiting in self._waiting))
        if not job_ids:
            return
        try:
            self._mark_finished(job_ids - self._unfinished(job_ids))
        except Unavailable as error:
            log.warning("long polling could not read the state of jobs, and relies on announcements now: %s", error)

    def _mark_finished(self, job_ids: set[str]) -> None:
        with self._lock:
            for waiting in self._waiting:
                waiting.unfinished -= job_ids
                if not waiting.unfinished:
                    waiting.done.set()
