"""The leases of the claims that a process holds: a thread extends them."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from jobs.database import Database
from jobs.errors import DatabaseUnavailable
from jobs.queue.claims import HeldClaim, extend_leases
from jobs.queue.recovery import requeue_task, undo_expiry

log = logging.getLogger(__name__)

# How often the thread checks whether a heartbeat is due.
TICK_SECONDS = 0.5


class Leases(threading.Thread):
    """Sends a heartbeat for each held claim every third of a lease, so that a lease survives a heartbeat that fails.

    Thread-safe. Nothing is sent while no claim is held.
    """

    def __init__(self, db: Database, lease_seconds: float) -> None:
        super().__init__(name="leases", daemon=True)
        self._db = db
        self._lease_seconds = lease_seconds
        self._lock = threading.Lock()
        self._held: dict[str, HeldClaim] = {}
        self._to_requeue: set[str] = set()
        self._next_beat = 0.0
        self._stopping = threading.Event()

    @property
    def held(self) -> list[str]:
        """Ids of the held claims."""
        with self._lock:
            return list(self._held)

    def hold(self, claim: HeldClaim) -> None:
        """Extends the lease of this claim from now on."""
        with self._lock:
            if not self._held:
                self._next_beat = time.monotonic() + self._lease_seconds / 3
            self._held[claim.id] = claim

    def drop(self, claim: HeldClaim) -> None:
        """The claim has ended."""
        with self._lock:
            self._held.pop(claim.id, None)

    def drop_all(self) -> None:
        """Every claim has ended."""
        with self._lock:
            self._held.clear()

    def holds(self, claim: HeldClaim) -> bool:
        """False if the claim was dropped, or its lease was lost."""
        with self._lock:
            return claim.id in self._held

    @contextmanager
    def holding(self, claim: HeldClaim) -> Iterator[None]:
        """Holds a claim while the block runs."""
        self.hold(claim)
        try:
            yield
        finally:
            self.drop(claim)

    def requeue(self, task_id: str) -> None:
        """Ends all claims, and requeues the jobs of this task as soon as the database answers."""
        with self._lock:
            self._held.clear()
            self._to_requeue.add(task_id)
            self._next_beat = 0.0

    def run(self) -> None:
        while not self._stopping.wait(min(TICK_SECONDS, self._lease_seconds / 3)):
            try:
                self._beat_when_due()
            except DatabaseUnavailable as error:
                log.warning("heartbeat: %s", error)
            except Exception:
                # Without this thread every later claim would lose its lease.
                log.exception("unexpected error in the heartbeat of the claims")

    def stop(self) -> None:
        """Ends the thread, after a heartbeat that runs now."""
        self._stopping.set()
        self.join()

    def _beat_when_due(self) -> None:
        with self._lock:
            held, to_requeue = dict(self._held), set(self._to_requeue)
            if not (held or to_requeue) or time.monotonic() < self._next_beat:
                return
            self._next_beat = time.monotonic() + self._lease_seconds / 3
        for task_id in to_requeue:
            requeue_task(self._db, task_id)
            with self._lock:
                self._to_requeue.discard(task_id)
        kept = extend_leases(self._db, list(held), self._lease_seconds) if held else set()
        for claim_id in held.keys() - kept:
            claim = held[claim_id]
            # A claim that was dropped a moment ago has ended, and was not lost.
            if self.holds(claim):
                log.warning("claim %s lost its lease; its jobs are in the queue again", claim_id)
                undo_expiry(self._db, claim_id, [job.id for job in claim.jobs])
                self.drop(claim)
