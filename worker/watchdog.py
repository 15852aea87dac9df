"""The watchdog of a worker child. It ends the process if a picture takes too long or too much memory."""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from detectors.machine import resident_bytes
from engine.leases import Leases
from jobs.database import Database
from jobs.errors import DatabaseUnavailable
from jobs.queue.claims import HeldClaim, record_cause
from jobs.queue.recovery import OUT_OF_MEMORY, TIMED_OUT

log = logging.getLogger(__name__)

# Pause between two checks of time and memory.
TICK_SECONDS = 0.5
# After a longer pause between two checks, the whole process was stopped (by SIGSTOP or a frozen container), and no
# picture caused that.
STOPPED_SECONDS = 5.0
# Time limit for writing the cause, because the database may not answer, and the process must end in any case.
RECORD_SECONDS = 5.0


class Watchdog(threading.Thread):
    """Checks the time limits of claims and the memory of the process. It ends the process, because a call that hangs
    inside a framework cannot be stopped in any other way.

    Another thread extends the leases, so that a database that hangs does not stop these checks.
    """

    def __init__(self, db: Database, leases: Leases, *, memory_limit: int) -> None:
        """`memory_limit`: resident bytes of the process."""
        super().__init__(name="watchdog", daemon=True)
        self._db = db
        self._leases = leases
        self._memory_limit = memory_limit
        self._lock = threading.Lock()
        self._deadlines: dict[str, float] = {}

    @contextmanager
    def limit(self, claim: HeldClaim, seconds: float) -> Iterator[None]:
        """Ends the process if the block takes longer than `seconds`."""
        with self._lock:
            self._deadlines[claim.id] = time.monotonic() + seconds
        try:
            yield
        finally:
            with self._lock:
                self._deadlines.pop(claim.id, None)

    def run(self) -> None:
        checked = time.monotonic()
        while True:
            time.sleep(TICK_SECONDS)
            try:
                self._check(time.monotonic() - checked)
            except Exception:
                # Without this thread no later hang would be noticed.
                log.exception("unexpected error in the watchdog")
            checked = time.monotonic()

    def _check(self, since: float) -> None:
        """`since`: seconds since the last check."""
        with self._lock:
            if since > STOPPED_SECONDS:
                self._deadlines = {claim_id: deadline + since for claim_id, deadline in self._deadlines.items()}
            # Claims whose lease was lost are included. They are not held any more, but they hang too.
            late = [claim_id for claim_id, deadline in self._deadlines.items() if deadline < time.monotonic()]
        held = self._leases.held
        # Memory first, because a process that runs out of memory becomes slow, and memory is the cause.
        if held and resident_bytes() > self._memory_limit:
            self.end_process(held, OUT_OF_MEMORY)
        if late:
            self.end_process(late, TIMED_OUT)

    def end_process(self, claim_ids: list[str], cause: str) -> None:
        """Records the cause on the claims and kills this process. Its parent recovers the jobs that it held."""
        log.error("ending this process: %s while it held the claims %s", cause, ", ".join(claim_ids))
        recorder = threading.Thread(target=self._record, args=(claim_ids, cause), daemon=True)
        recorder.start()
        recorder.join(RECORD_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    def _record(self, claim_ids: list[str], cause: str) -> None:
        try:
            record_cause(self._db, claim_ids, cause)
        except DatabaseUnavailable as error:
            log.error("the cause could not be recorded: %s", error)
