"""Answers through the service's database, as its workers write them: the service shows them and repeats them."""

import hashlib
import logging
import time

from tenacity import stop_after_attempt

from engine.acceptance import Inspected, Key, accept
from engine.claim_run import ClaimRun, return_unanswered, write_answers
from engine.claimable import claimable
from engine.inference import Pictures
from engine.leases import Leases
from jobs.batches import OPEN_STATUSES
from jobs.database import Database
from jobs.errors import KeyInFlight, Unavailable
from jobs.image_store import ImageStore
from jobs.queue.claims import HeldClaim, Outcome, claim
from jobs.queue.model_versions import set_version
from jobs.queue.recovery import expire_leases, record_crash
from jobs.records import JobRecord, NewJob
from jobs.settings import Settings
from jobs.store import get_job
from jobs.tables import new_id
from serverless.models import Models

log = logging.getLogger(__name__)

# Pause between two reads of a job that another process has claimed.
POLL_SECONDS = 0.2
# Tries to write an answer while the database is out: they take 8 seconds.
WRITE_ATTEMPTS = 6


class Stored:
    """Accepts a picture as a job, and claims, runs and finishes that very job."""

    def __init__(self, settings: Settings, models: Models) -> None:
        self._models = models
        # One connection for the picture, one for the heartbeat.
        self._db = Database(settings.database_url, pool_size=2)
        self._images = ImageStore(settings.store_url)
        self._lease_seconds = settings.lease_seconds
        self._worker_id = new_id()
        self._leases = Leases(self._db, settings.lease_seconds)
        self._leases.start()

    def answer(self, new: NewJob, inspected: Inspected, event: str | None) -> JobRecord:
        """The job with its answer. A job that another process has claimed is waited for, for two leases at most.

        Raises `Unavailable` where the same call may work later.
        """
        job = self._accept(new, inspected, event)
        started, expired = time.monotonic(), False
        while job.status in OPEN_STATUSES:
            held = self._claim(job)
            if held:
                self._work(held, inspected)
            else:
                waited = time.monotonic() - started
                if waited > self._lease_seconds and not expired:
                    # The process that had it may be gone, and there may be no worker that sweeps.
                    expired = True
                    expire_leases(self._db)
                elif waited > 2 * self._lease_seconds:
                    raise Unavailable(f"Job {job.id} is {job.status} elsewhere, and has no answer yet.")
                time.sleep(POLL_SECONDS)
            job = get_job(self._db, job.id)
        return job

    def close(self) -> None:
        self._leases.stop()
        self._db.close()

    def _accept(self, new: NewJob, inspected: Inspected, event: str | None) -> JobRecord:
        """The job of this picture; where the event was delivered before, the job that it made then."""
        key = None if event is None else Key(f"event-{hashlib.sha256(event.encode()).hexdigest()}", "event")
        try:
            return accept(self._db, self._images, [new], [inspected], key=key)[0]
        except KeyInFlight as error:
            raise Unavailable("This event is being accepted already, or was a moment ago.") from error

    def _claim(self, job: JobRecord) -> HeldClaim | None:
        entry = self._models.entry(job.model)
        if job.model_digest != entry.digest:
            # Accepted before the model was replaced.
            set_version(self._db, job.id, entry.digest)
        return claim(
            self._db,
            self._models.runtime,
            {entry.name: claimable(entry, 1, self._models.entries)},
            worker_id=self._worker_id,
            task_id=new_id(),
            lease_seconds=self._lease_seconds,
            job_id=job.id,
        )

    def _work(self, held: HeldClaim, inspected: Inspected) -> None:
        """Finishes the claim, or returns it unanswered where that is not possible now."""
        with self._leases.holding(held):
            try:
                outcomes = self._outcomes(held, inspected)
            except Unavailable as error:
                return_unanswered(self._db, held, error)
                raise
            except Exception:
                # A fault of the function itself. It counts as a crash, so that this job can't fail here for ever.
                record_crash(self._db, held.task_id)
                raise
            give_up = stop_after_attempt(WRITE_ATTEMPTS)
            write_answers(self._db, held, outcomes, device=self._models.device, give_up=give_up)

    def _outcomes(self, held: HeldClaim, inspected: Inspected) -> list[Outcome]:
        (job,) = held.jobs
        entry = self._models.entry(held.model)

        def read() -> bytes:
            if inspected.picture and inspected.picture.sha256 == job.image_sha256:
                return inspected.data
            # What the event names was replaced after it had been accepted.
            return self._images.get(job.image_sha256)

        run = ClaimRun(held, Pictures(entry))
        with self._models.detector(entry) as detector:
            run.pictures.decode(job.id, read)
            return run.outcomes(detector)
