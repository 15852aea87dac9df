"""The thread of a worker child that watches over its claims: heartbeats, time, memory."""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs.claims import HeldClaim, accuse, heartbeat
from jobs.database import Database
from jobs.deaths import OUT_OF_MEMORY, TIMED_OUT, forgive
from jobs.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

# How often time and memory are looked at.
TICK_SECONDS = 0.5


class Vigil(threading.Thread):
    """Extends the leases of the claims that this process holds, and ends the process where a picture takes too long
    or too much memory: whatever hangs inside a framework can't be ended otherwise."""

    def __init__(self, db: Database, *, lease_seconds: float, memory_limit: int) -> None:
        super().__init__(name="vigil", daemon=True)
        self._db = db
        self._lease_seconds = lease_seconds
        self._memory_limit = memory_limit
        self._changed = threading.Condition()
        self._held: dict[str, HeldClaim] = {}
        self._deadlines: dict[str, float] = {}
        self._next_beat = 0.0

    def hold(self, claim: HeldClaim) -> None:
        """From now on this claim's lease is extended."""
        with self._changed:
            if not self._held:
                self._next_beat = time.monotonic() + self._lease_seconds / 3
            self._held[claim.id] = claim
            self._changed.notify()

    def drop(self, claim: HeldClaim) -> None:
        """The claim has ended."""
        with self._changed:
            self._held.pop(claim.id, None)

    def drop_all(self) -> None:
        """Every claim has ended."""
        with self._changed:
            self._held.clear()

    def holds(self, claim: HeldClaim) -> bool:
        """False where the claim was dropped, or its lease was lost."""
        with self._changed:
            return claim.id in self._held

    @contextmanager
    def limit(self, claim: HeldClaim, seconds: float) -> Iterator[None]:
        """What happens inside must end within `seconds`, or this process does."""
        with self._changed:
            self._deadlines[claim.id] = time.monotonic() + seconds
        try:
            yield
        finally:
            with self._changed:
                self._deadlines.pop(claim.id, None)

    def run(self) -> None:
        while True:
            with self._changed:
                while not self._held:
                    self._changed.wait()
                self._changed.wait(TICK_SECONDS)
                held = dict(self._held)
                late = [claim_id for claim_id, deadline in self._deadlines.items() if deadline < time.monotonic()]
            if late:
                self._end_process(late, TIMED_OUT)
            if _resident_bytes() > self._memory_limit:
                self._end_process(list(held), OUT_OF_MEMORY)
            if held and time.monotonic() >= self._next_beat:
                self._beat(held)

    def _beat(self, held: dict[str, HeldClaim]) -> None:
        self._next_beat = time.monotonic() + self._lease_seconds / 3
        try:
            kept = heartbeat(self._db, list(held), self._lease_seconds)
            for claim_id in held.keys() - kept:
                # Ended here a moment ago, or else lost: then what it finds is not written, and no death counts.
                claim = held[claim_id]
                if self.holds(claim):
                    log.warning("claim %s lost its lease; its jobs went back into the queue", claim_id)
                    self.drop(claim)
                    forgive(self._db, claim_id, [job.id for job in claim.jobs])
        except DatabaseUnavailable as error:
            log.warning("heartbeat: %s", error)

    def _end_process(self, claim_ids: list[str], cause: str) -> None:
        log.error("ending this process: %s while it held the claims %s", cause, ", ".join(claim_ids))
        try:
            accuse(self._db, claim_ids, cause)
        except DatabaseUnavailable as error:
            log.error("the cause could not be noted: %s", error)
        os.kill(os.getpid(), signal.SIGKILL)


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
