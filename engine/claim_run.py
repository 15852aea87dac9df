"""Runs a claim, and writes its answers into the database."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_chain, wait_fixed

from detectors.base import Detector
from engine.inference import Finding, Pictures
from engine.timing import ms_since
from jobs.database import Database
from jobs.errors import DatabaseUnavailable
from jobs.queue.claims import ClaimedJob, HeldClaim, Outcome, finish, give_back
from jobs.queue.recovery import requeue_as_suspects, undo_expiry

log = logging.getLogger(__name__)

# Pauses between tries to write answers while the database does not answer: short at first, then some seconds.
PAUSES_SECONDS = (0.1, 0.3, 1.0, 2.0, 5.0)


@dataclass(slots=True)
class ClaimRun:
    """A claim and its pictures. `pictures` are decoded by the caller before `outcomes` is called."""

    claim: HeldClaim
    pictures: Pictures
    started: float = field(default_factory=time.perf_counter)

    def outcomes(self, detector: Detector) -> list[Outcome]:
        """The outcome of each job of the claim. After a `RetryableError` the caller returns the claim unanswered."""
        if self.claim.alone:
            detector.require_available()
        findings = self.pictures.infer(detector)
        return [self._outcome(job, findings[job.id]) for job in self.claim.jobs]

    def _outcome(self, job: ClaimedJob, finding: Finding) -> Outcome:
        queued_ms = round(job.age_s * 1000, 1)
        timings = {"queued": queued_ms, **finding.timings_ms, "total": round(queued_ms + ms_since(self.started), 1)}
        if finding.error:
            return Outcome(job.id, None, finding.error.code, str(finding.error), timings)
        return Outcome(job.id, finding.detections, timings_ms=timings)


def write_answers(
    db: Database,
    claim: HeldClaim,
    outcomes: Sequence[Outcome],
    *,
    device: str,
    give_up: Callable[[RetryCallState], bool],
) -> set[str]:
    """Writes the answers of a claim and ends it. Tries again in an outage of the database, until `give_up` is true.

    Returns the ids of the jobs that took their answer. It is empty if the claim was lost: then the expiry of its
    lease is undone, because this process is alive. Raises `DatabaseUnavailable` after `give_up`.
    """

    def write() -> set[str]:
        taken = finish(db, claim, outcomes, device=device)
        if not taken:
            undo_expiry(db, claim.id, [job.id for job in claim.jobs])
        return taken

    def log_retry(state: RetryCallState) -> None:
        log.warning("claim %s can't be answered yet: %s", claim.id, state.outcome and state.outcome.exception())

    retrying = Retrying(
        retry=retry_if_exception_type(DatabaseUnavailable),
        wait=wait_chain(*map(wait_fixed, PAUSES_SECONDS)),
        stop=give_up,
        before_sleep=log_retry,
        reraise=True,
    )
    return retrying(write)


def return_unanswered(db: Database, claim: HeldClaim, cause: Exception | None = None) -> None:
    """Puts the jobs of a claim back into the queue. They become suspects if one of them may have caused `cause`."""
    suspicion = getattr(cause, "suspicion", None)
    if suspicion is None:
        give_back(db, claim)
    else:
        requeue_as_suspects(db, claim.id, suspicion.code, str(suspicion))
