"""Lets pictures in, applies the schedule, and measures after each fault how long it took until work flowed again."""

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from tests.chaos.breaking.schedule import Step
from tests.chaos.client import Client, GaveUp, Submitters, probe

# Numbers of probe pictures: none of the plan has one.
FIRST_PROBE = 1 << 20
PROBE_SECONDS = 120.0
SPARE_SECONDS = 60.0
# With all of its pictures answered already a fault hits an idle service, which is worth a try as well.
BUSY_SECONDS, IDLE_SECONDS = 15.0, 1.0


@dataclass
class Record:
    """A fault that was applied. Times in seconds since the run began."""

    fault: str
    victim: str
    applied_s: float
    held_s: float
    recovery_s: float | None
    """From the moment on that its cause was gone, until a job sent after that had its answer; None where none had."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Conductor:
    """`tell(record)` is called after each fault."""

    def __init__(
        self,
        submitters: Submitters,
        client: Client,
        run: str,
        jobs: int,
        stopping: threading.Event,
        tell: Callable[[Record], None],
    ) -> None:
        self._submitters = submitters
        self._client = client
        self._run = run
        self._jobs = jobs
        self._stopping = stopping
        self._tell = tell
        self._started = time.monotonic()
        self.records: list[Record] = []

    def conduct(self, schedule: list[Step]) -> None:
        """All steps; then everything that is left may come in."""
        self._submitters.start()
        for number, step in enumerate(schedule):
            # A portion before each fault, so that there is always something to hit.
            self._submitters.allow(self._jobs * (number + 1) // len(schedule))
            if step.busy:
                self._wait_until_busy()
            self._stopping.wait(step.after_s)
            if step.fault.counts:
                self._spare_the_innocent()
            record = self._apply(step, number)
            self.records.append(record)
            self._tell(record)
            self._stopping.wait(step.pause_s)
        self._submitters.allow(self._jobs + 1)

    def _wait_until_busy(self) -> None:
        """Until somebody works, so that there is something to hit."""
        started = time.monotonic()
        while not self._stopping.is_set():
            queued, running = self._client.load() or (1, 0)
            waited = time.monotonic() - started
            if running or waited > (BUSY_SECONDS if queued else IDLE_SECONDS):
                return
            self._stopping.wait(0.02)

    def _spare_the_innocent(self) -> None:
        """Two kills from outside that both hit one picture alone can't be told from its guilt, by anybody: after the
        first one it gets the time to finish."""
        until = time.monotonic() + SPARE_SECONDS
        while time.monotonic() < until and self._client.innocent_with_a_death():
            self._stopping.wait(0.1)

    def _apply(self, step: Step, number: int) -> Record:
        fault = step.fault
        applied = time.monotonic()
        victim = fault.apply()
        if fault.lift:
            self._stopping.wait(fault.hold_s)
        lifted = time.monotonic()
        if fault.lift:
            fault.lift()
        recovered = self._recovered(number)
        return Record(
            fault=fault.name,
            victim=victim,
            applied_s=round(applied - self._started, 2),
            held_s=round(lifted - applied, 2) if fault.lift else 0.0,
            recovery_s=round(time.monotonic() - (lifted if fault.lift else applied), 2) if recovered else None,
        )

    def _recovered(self, number: int) -> bool:
        try:
            job_id = probe(self._client, f"{self._run}-probe-{number}", FIRST_PROBE + number)
            return self._client.wait_for(job_id, PROBE_SECONDS)
        except GaveUp:
            return False
