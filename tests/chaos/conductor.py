"""Allows the requests step by step, applies the faults, and measures how long the recovery from each takes."""

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from tests.chaos.breaking.schedule import Step
from tests.chaos.client import Client, GaveUp, Submitters, probe

# Number of the first probe picture: those of the plan are smaller.
FIRST_PROBE = 1 << 20
PROBE_SECONDS = 120.0
GOOD_JOB_SECONDS = 60.0
# If all pictures are answered already, the fault hits an idle service, which is a test too.
BUSY_SECONDS, IDLE_SECONDS = 15.0, 1.0


@dataclass
class Record:
    """A fault that was applied. Times in seconds since the run began."""

    fault: str
    victim: str
    applied_s: float
    held_s: float
    recovery_s: float | None
    """From the end of the fault to the answer of a job that was sent after it; None if there was no answer."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Conductor:
    """Conducts a run. Calls `report(record)` after each fault."""

    def __init__(
        self,
        submitters: Submitters,
        client: Client,
        run: str,
        jobs: int,
        stopping: threading.Event,
        report: Callable[[Record], None],
    ) -> None:
        self._submitters = submitters
        self._client = client
        self._run = run
        self._jobs = jobs
        self._stopping = stopping
        self._report = report
        self._started = time.monotonic()
        self.records: list[Record] = []

    def conduct(self, schedule: list[Step]) -> None:
        """Runs all steps, then allows all requests that are left."""
        self._submitters.start()
        for number, step in enumerate(schedule):
            # Some jobs before each fault, so that there is always work that it hits.
            self._submitters.allow(self._jobs * (number + 1) // len(schedule))
            if step.busy:
                self._wait_until_busy()
            self._stopping.wait(step.after_s)
            if step.fault.counts:
                self._wait_for_good_jobs()
            record = self._apply(step, number)
            self.records.append(record)
            self._report(record)
            self._stopping.wait(step.pause_s)
        self._submitters.allow(self._jobs + 1)

    def _wait_until_busy(self) -> None:
        """Until a job runs, so that the fault hits it."""
        started = time.monotonic()
        while not self._stopping.is_set():
            queued, running = self._client.load() or (1, 0)
            waited = time.monotonic() - started
            if running or waited > (BUSY_SECONDS if queued else IDLE_SECONDS):
                return
            self._stopping.wait(0.02)

    def _wait_for_good_jobs(self) -> None:
        """Waits until no open good job has a crash.

        A second kill that hits the same job alone would fail it, since it looks as if the job crashed its workers.
        """
        until = time.monotonic() + GOOD_JOB_SECONDS
        while time.monotonic() < until and self._client.good_job_has_crash():
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
