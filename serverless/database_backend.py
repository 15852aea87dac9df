"""Answers through the service's database. They are stored as by a worker, so the service shows and reuses them."""

import hashlib
import logging
import time

from tenacity import stop_after_attempt

from detectors.machine import usable_memory
from engine.acceptance import InspectedPicture, Key, accept
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
# Tries to write an answer while the database does not answer. They take 8 seconds in all.
WRITE_ATTEMPTS = 6


class DatabaseBackend:
    """Accepts a picture as a job, then claims, runs and finishes only that job."""

    def __init__(self, settings: Settings, models: Models) -> None:
        self._models = models
        # One connection for the picture, one for the heartbeat.
        self._db = Database(settings.database_url, pool_size=2)
        self._images = ImageStore(settings.store_url)
        self._lease_seconds = settings.lease_seconds
        self._worker_id = new_id()
        self._leases = Leases(self._db, settings.lease_seconds)
        self._leases.start()

    def answer(self, new: NewJob, inspected: InspectedPicture, event: str | None) -> JobRecord:
        """The job with its answer. If another process has claimed the job, waits for it, for at most two leases.

        Raises `Unavailable` if the same call may succeed later.
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
                    # The process with the claim may have crashed, and there may be no worker that sweeps.
                    expired = True
                    expire_leases(self._db)
                elif waited > 2 * self._lease_seconds:
                    raise Unavailable(f"Job {job.id} is {job.status} in another process and has no answer yet.")
                time.sleep(POLL_SECONDS)
            job = get_job(self._db, job.id)
        return job

    def close(self) -> None:
        self._leases.stop()
        self._db.close()

    def _accept(self, new: NewJob, inspected: InspectedPicture, event: str | None) -> JobRecord:
        """The job of this picture. If the event was delivered before, the job of that delivery."""
        key = None if event is None else Key(f"event-{hashlib.sha256(event.encode()).hexdigest()}", "event")
        try:
            return accept(self._db, self._images, [new], [inspected], key=key)[0]
        except KeyInFlight as error:
            raise Unavailable("Another process accepts this event now, or did so a moment ago.") from error

    def _claim(self, job: JobRecord) -> HeldClaim | None:
        entry = self._models.entry(job.model)
        if job.model_digest != entry.digest:
            # The job was accepted before the catalogue got this version of the model.
            set_version(self._db, job.id, entry.digest)
        return claim(
            self._db,
            self._models.runtime,
            claimable([entry], lambda _: 1, self._models.entries),
            worker_id=self._worker_id,
            task_id=new_id(),
            lease_seconds=self._lease_seconds,
            job_id=job.id,
        )

    def _work(self, held: HeldClaim, inspected: InspectedPicture) -> None:
        """Runs and finishes the claim. Returns it without answers if the model or the store is not available now."""
        with self._leases.holding(held):
            try:
                outcomes = self._outcomes(held, inspected)
            except Unavailable as error:
                return_unanswered(self._db, held, error)
                raise
            except Exception:
                # An error in the function itself. It counts as a crash, so that the job is not tried for ever.
                record_crash(self._db, held.task_id)
                raise
            give_up = stop_after_attempt(WRITE_ATTEMPTS)
            write_answers(self._db, held, outcomes, device=self._models.device, give_up=give_up)

    def _outcomes(self, held: HeldClaim, inspected: InspectedPicture) -> list[Outcome]:
        [job] = held.jobs
        entry = self._models.entry(held.model)

        def read() -> bytes:
            if inspected.picture and inspected.picture.sha256 == job.image_sha256:
                return inspected.data
            # The object of the event was replaced after the job was accepted.
            return self._images.get(job.image_sha256)

        run = ClaimRun(held, Pictures(entry))
        with self._models.detector(entry) as detector:
            run.pictures.decode(job.id, read, memory_limit=usable_memory())
            return run.outcomes(detector)
