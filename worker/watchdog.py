"""The threads of a worker child that watch over its claims: one for time and memory, one for heartbeats."""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from detectors.memory import resident_bytes
from jobs.database import Database
from jobs.errors import DatabaseUnavailable
from jobs.queue.claims import HeldClaim, extend_leases, record_cause
from jobs.queue.recovery import OUT_OF_MEMORY, TIMED_OUT, requeue_task, undo_expiry

log = logging.getLogger(__name__)

# How often time and memory are looked at.
TICK_SECONDS = 0.5
# A look that comes so much later than the last one: the whole process was stopped meanwhile (SIGSTOP, a frozen
# container), which no picture has to answer for.
STOPPED_SECONDS = 5.0
# A database that does not answer must not keep a hanging process alive.
ACCUSE_SECONDS = 5.0


class Watchdog(threading.Thread):
    """Ends the process where a picture takes too long or too much memory: whatever hangs inside a framework can't be
    ended otherwise. A second thread extends the leases of the claims that this process holds; so a database that hangs
    does not stop the watch.
    """

    def __init__(self, db: Database, *, lease_seconds: float, memory_limit: int) -> None:
        super().__init__(name="vigil", daemon=True)
        self._db = db
        self._lease_seconds = lease_seconds
        # A lease survives two heartbeats that were missed.
        self._beat_seconds = lease_seconds / 3
        self._memory_limit = memory_limit
        self._lock = threading.Lock()
        self._held: dict[str, HeldClaim] = {}
        self._deadlines: dict[str, float] = {}
        self._to_spare: set[str] = set()
        self._next_beat = 0.0

    def hold(self, claim: HeldClaim) -> None:
        """From now on this claim's lease is extended."""
        with self._lock:
            if not self._held:
                self._next_beat = time.monotonic() + self._beat_seconds
            self._held[claim.id] = claim

    def drop(self, claim: HeldClaim) -> None:
        """The claim has ended."""
        with self._lock:
            self._held.pop(claim.id, None)

    def drop_all(self) -> None:
        """Every claim has ended."""
        with self._lock:
            self._held.clear()

    def give_back(self, task_id: str) -> None:
        """This task ended early for no fault of its pictures: its claims go back as soon as the database answers."""
        with self._lock:
            self._held.clear()
            self._to_spare.add(task_id)
            self._next_beat = 0.0

    def holds(self, claim: HeldClaim) -> bool:
        """False where the claim was dropped, or its lease was lost."""
        with self._lock:
            return claim.id in self._held

    @contextmanager
    def limit(self, claim: HeldClaim, seconds: float) -> Iterator[None]:
        """What happens inside must end within `seconds`, or this process does."""
        with self._lock:
            self._deadlines[claim.id] = time.monotonic() + seconds
        try:
            yield
        finally:
            with self._lock:
                self._deadlines.pop(claim.id, None)

    def run(self) -> None:
        threading.Thread(target=self._beat_for_ever, name="heartbeat", daemon=True).start()
        looked = time.monotonic()
        while True:
            time.sleep(TICK_SECONDS)
            try:
                self._look(time.monotonic() - looked)
            except Exception:
                # A vigil that has ended would let every later hang go unnoticed.
                log.exception("vigil")
            looked = time.monotonic()

    def _look(self, since: float) -> None:
        with self._lock:
            if since > STOPPED_SECONDS:
                self._deadlines = {claim_id: deadline + since for claim_id, deadline in self._deadlines.items()}
            # A claim whose lease was lost is held no more, yet what hangs on it hangs.
            late = [claim_id for claim_id, deadline in self._deadlines.items() if deadline < time.monotonic()]
            held = list(self._held)
        # Memory first: what eats a lot of it is slow as well, and the cause is the memory.
        if held and resident_bytes() > self._memory_limit:
            self.end_process(held, OUT_OF_MEMORY)
        if late:
            self.end_process(late, TIMED_OUT)

    def _beat_for_ever(self) -> None:
        while True:
            time.sleep(TICK_SECONDS)
            try:
                self._beat_when_due()
            except DatabaseUnavailable as error:
                log.warning("heartbeat: %s", error)
            except Exception:
                log.exception("heartbeat")

    def _beat_when_due(self) -> None:
        with self._lock:
            held, to_spare = dict(self._held), set(self._to_spare)
            if not (held or to_spare) or time.monotonic() < self._next_beat:
                return
            self._next_beat = time.monotonic() + self._beat_seconds
        for task_id in to_spare:
            requeue_task(self._db, task_id)
            with self._lock:
                self._to_spare.discard(task_id)
        kept = extend_leases(self._db, list(held), self._lease_seconds) if held else set()
        for claim_id in held.keys() - kept:
            # Ended here a moment ago, or else lost: then what it finds is not written, and no death counts.
            claim = held[claim_id]
            if self.holds(claim):
                log.warning("claim %s lost its lease; its jobs went back into the queue", claim_id)
                undo_expiry(self._db, claim_id, [job.id for job in claim.jobs])
                self.drop(claim)

    def end_process(self, claim_ids: list[str], cause: str) -> None:
        """Notes the cause on the claims and kills this process; its parent releases what it held."""
        log.error("ending this process: %s while it held the claims %s", cause, ", ".join(claim_ids))
        accuser = threading.Thread(target=self._accuse, args=(claim_ids, cause), daemon=True)
        accuser.start()
        accuser.join(ACCUSE_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    def _accuse(self, claim_ids: list[str], cause: str) -> None:
        try:
            record_cause(self._db, claim_ids, cause)
        except DatabaseUnavailable as error:
            log.error("the cause could not be noted: %s", error)
