"""Claims and runs jobs after a doorbell.

Three claims overlap: the model runs on one, the answers of the previous one are written, and the pictures of the next
one are fetched and decoded.
"""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from detectors.errors import ModelBroken, ModelUnavailable, RetryableError
from engine.claim_run import ClaimRun, return_unanswered, write_answers
from engine.inference import Pictures
from jobs.errors import StoreUnavailable
from jobs.queue.claims import Outcome, claim
from jobs.queue.queries import has_waiting
from jobs.queue.recovery import WORKER_LOST
from worker.child import Child

log = logging.getLogger(__name__)

# In an outage of the image store, a process rings no doorbell for this time, because the next claim would fail too.
STORE_OUTAGE_PAUSE_SECONDS = 5.0


class Pipeline:
    """Answers one doorbell: claims and runs jobs until none wait, for at most `drain_seconds`."""

    def __init__(self, child: Child, task_id: str) -> None:
        self._child = child
        self._task_id = task_id
        self._until = time.monotonic() + child.settings.drain_seconds
        self._rung = False

    def drain(self) -> None:
        """Claims and runs jobs. Raises `DatabaseUnavailable` if none can be claimed; the sweep rings again later."""
        with ThreadPoolExecutor(1, "fetch") as fetcher, ThreadPoolExecutor(1, "write") as writer:
            writing: Future[None] | None = None
            run = self._fetch()
            while run:
                if run.claim.alone:
                    _wait(writing)
                    self._work_alone(run)
                    run = self._fetch()
                    continue
                ahead = fetcher.submit(self._fetch)
                outcomes = self._infer(run)
                _wait(writing)
                if outcomes is not None:
                    writing = writer.submit(self._write, run, outcomes)
                run = ahead.result()
            _wait(writing)
        if self._rung:
            self._ring_for_more()

    def _work_alone(self, run: ClaimRun) -> None:
        """Runs a suspect. It may crash the process, so the process holds no other claim meanwhile."""
        if self._decode(run) and (outcomes := self._infer(run)) is not None:
            self._write(run, outcomes)
        # A suspect may have had its model server for itself, while other workers waited. They may continue now.
        self._ring_for_more()

    def _fetch(self) -> ClaimRun | None:
        """The next claim with its pictures decoded. None if no job waits or the time is up."""
        child = self._child
        if child.stopping.is_set() or (self._rung and time.monotonic() >= self._until):
            return None
        child.registry.reload()
        held = claim(
            child.db,
            child.plan.runtime,
            child.claimable(),
            worker_id=child.plan.worker_id,
            task_id=self._task_id,
            lease_seconds=child.settings.lease_seconds,
        )
        if held is None:
            return None
        child.leases.hold(held)
        if not self._rung:
            # Before it works, each process wakes the next one, which wakes another.
            self._rung = True
            self._ring_for_more()
        run = ClaimRun(held, Pictures(child.registry.models[held.model]))
        # A suspect is decoded later, when the process holds no other claim.
        return run if held.alone or self._decode(run) else None

    def _ring_for_more(self) -> None:
        child = self._child
        if child.stopping.is_set() or time.monotonic() < child.quiet_until:
            return
        if has_waiting(child.db, child.plan.runtime, child.claimable()):
            child.doorbell.ring(child.plan.runtime)

    def _decode(self, run: ClaimRun) -> bool:
        """Decodes the pictures of a claim. False if the image store does not answer; then the claim was returned."""
        child = self._child
        try:
            for job in run.claim.jobs:
                limit = child.watchdog.limit(run.claim, child.settings.picture_seconds)
                run.pictures.decode(
                    job.id,
                    lambda sha256=job.image_sha256: child.images.get(sha256),  # type: ignore[misc]
                    memory_limit=child.memory_limit,
                    within=limit,
                )
        except StoreUnavailable as error:
            log.warning("claim %s is returned: %s", run.claim.id, error)
            self._return(run, error)
            self._until = 0.0
            child.quiet_until = time.monotonic() + STORE_OUTAGE_PAUSE_SECONDS
            return False
        return True

    def _infer(self, run: ClaimRun) -> list[Outcome] | None:
        """The outcomes of a claim. None if the model gives no answer now; then the claim was returned."""
        child, entry = self._child, run.pictures.entry
        detector = child.detector(entry)
        if detector is None:
            self._return(run)
            return None
        seconds = detector.time_limit(len(run.pictures.decoded), child.settings.picture_seconds)
        try:
            with child.watchdog.limit(run.claim, seconds):
                return run.outcomes(detector)
        except ModelBroken as error:
            # In this process the model would fail for every picture. A new process runs each of these pictures alone.
            log.error("the model %s also fails for a blank picture: %s", entry.name, error)
            child.watchdog.end_process([run.claim.id], WORKER_LOST)
            raise
        except RetryableError as error:
            if isinstance(error, ModelUnavailable):
                child.open_breaker(entry, error)
            self._return(run, error)
            return None

    def _write(self, run: ClaimRun, outcomes: Sequence[Outcome]) -> None:
        """Writes the answers of a claim. In an outage of the database it tries again while the claim is held."""
        child = self._child
        taken = write_answers(
            child.db, run.claim, outcomes, device=child.device, give_up=lambda _: not child.leases.holds(run.claim)
        )
        child.leases.drop(run.claim)
        if taken:
            child.doorbell.announce(sorted(taken))

    def _return(self, run: ClaimRun, cause: Exception | None = None) -> None:
        return_unanswered(self._child.db, run.claim, cause)
        self._child.leases.drop(run.claim)


def _wait(writing: "Future[None] | None") -> None:
    if writing:
        writing.result()
