"""Answers that go through the service's database, as its workers' do: repeats and readers see them."""

import hashlib
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from detectors.catalogue import PIPELINE_REVISION
from jobs.batches import OPEN_STATUSES
from jobs.database import Database
from jobs.errors import BoxqueueError, DatabaseUnavailable, KeyInFlight, PictureMissing, Unavailable
from jobs.idempotency import drop_key, reserve_key
from jobs.image_store import ImageStore
from jobs.queue.claims import HeldClaim, Outcome, claim, extend_leases, finish, give_back
from jobs.queue.model_versions import set_version
from jobs.queue.recovery import expire_leases, record_crash, requeue_as_suspects, undo_expiry
from jobs.records import JobRecord, NewJob
from jobs.settings import Settings
from jobs.store import get_job, submit
from jobs.tables import new_id
from serverless.models import ModelOut, Models, ms_since

log = logging.getLogger(__name__)

# Between two looks at a job that somebody else has.
POLL_SECONDS = 0.2
# Waits between two tries to write an answer while the database is out.
BACKOFF_SECONDS = (0.1, 0.3, 1.0, 2.0, 4.0)


class Stored:
    """Accepts a picture as a job, and claims, runs and finishes that very job."""

    def __init__(self, settings: Settings, models: Models) -> None:
        self._models = models
        # The picture's and its heartbeat's.
        self._db = Database(settings.database_url, pool_size=2)
        self._images = ImageStore(settings.store_url)
        self._lease_seconds = settings.lease_seconds
        self._worker_id = new_id()
        self._heartbeat: threading.Thread | None = None

    def answer(self, new: NewJob, data: bytes, event: str | None) -> JobRecord:
        """The job with its answer. A job that somebody else has is waited for, for two leases at most.

        Raises `Unavailable` where the same call may work later.
        """
        job = self._accept(new, data, event)
        started, expired = time.monotonic(), False
        while job.status in OPEN_STATUSES:
            held = self._claim(job)
            if held:
                self._work(held, new, data)
            else:
                waited = time.monotonic() - started
                if waited > self._lease_seconds and not expired:
                    # Whoever had it is gone, perhaps: here nobody sweeps.
                    expired = True
                    expire_leases(self._db)
                elif waited > 2 * self._lease_seconds:
                    raise Unavailable(f"Job {job.id} is {job.status} elsewhere, and has no answer yet.")
                time.sleep(POLL_SECONDS)
            job = get_job(self._db, job.id)
        return job

    def close(self) -> None:
        if self._heartbeat:
            # The last one may be in the middle of its statement.
            self._heartbeat.join()
        self._db.close()

    def _accept(self, new: NewJob, data: bytes, event: str | None) -> JobRecord:
        """The job of this picture; where the event was delivered before, the job that it made then."""
        key = None if event is None else f"event-{hashlib.sha256(event.encode()).hexdigest()}"
        try:
            if key and (known := reserve_key(self._db, key, "event")):
                return get_job(self._db, known[0])
            if new.picture:
                self._images.put(data, new.picture.sha256)
            return submit(self._db, [new], pipeline=PIPELINE_REVISION, key=key)[0]
        except KeyInFlight as error:
            raise Unavailable("This event is being accepted already, or was a moment ago.") from error
        except BoxqueueError:
            if key:
                with suppress(DatabaseUnavailable):
                    drop_key(self._db, key)
            raise

    def _claim(self, job: JobRecord) -> HeldClaim | None:
        entry = self._models.entry(job.model)
        if job.model_digest != entry.digest:
            # Accepted before the model was replaced.
            set_version(self._db, job.id, entry.digest)
        return claim(
            self._db,
            self._models.runtime,
            {entry.name: (entry.digest, 1)},
            worker_id=self._worker_id,
            task_id=new_id(),
            lease_seconds=self._lease_seconds,
            servers=self._models.servers,
            job_id=job.id,
        )

    def _work(self, held: HeldClaim, new: NewJob, data: bytes) -> None:
        """Finishes the claim, or gives it back where that is not possible now."""
        with self._kept(held):
            try:
                outcome = self._outcome(held, new, data)
            except ModelOut as error:
                if error.doubt:
                    requeue_as_suspects(self._db, held.id, error.doubt.code, str(error.doubt))
                else:
                    give_back(self._db, held)
                raise
            except Unavailable:
                give_back(self._db, held)
                raise
            except Exception:
                # A fault of our own: it counts as a death, so that this job can't come round for ever.
                record_crash(self._db, held.task_id)
                raise
            self._finish(held, outcome)

    def _outcome(self, held: HeldClaim, new: NewJob, data: bytes) -> Outcome:
        (job,) = held.jobs
        started = time.perf_counter()
        if new.picture is None or new.picture.sha256 != job.image_sha256:
            # What the event names was replaced after it had been accepted.
            try:
                data = self._images.get(job.image_sha256)
            except PictureMissing as error:
                return Outcome(job.id, None, error.code, str(error))
        look = self._models.look(self._models.entry(held.model), data, suspect=held.alone)
        queued_ms = round(job.age_s * 1000, 1)
        timings = {"queued": queued_ms, **look.timings_ms, "total": round(queued_ms + ms_since(started), 1)}
        if look.error:
            return Outcome(job.id, None, look.error.code, str(look.error), timings)
        return Outcome(job.id, look.detections, timings_ms=timings)

    def _finish(self, held: HeldClaim, outcome: Outcome) -> None:
        for pause in BACKOFF_SECONDS:
            try:
                taken = finish(self._db, held, [outcome], device=self._models.device)
                break
            except DatabaseUnavailable as error:
                log.warning("the answer of job %s waits: %s", outcome.job_id, error)
                time.sleep(pause)
        else:
            taken = finish(self._db, held, [outcome], device=self._models.device)
        if not taken:
            # Lost to a sweep, perhaps, while this process was frozen.
            undo_expiry(self._db, held.id, [outcome.job_id])

    @contextmanager
    def _kept(self, held: HeldClaim) -> Iterator[None]:
        """Extends the claim's lease meanwhile."""
        done = threading.Event()

        def beat() -> None:
            # A lease survives two heartbeats that were missed.
            while not done.wait(self._lease_seconds / 3):
                try:
                    extend_leases(self._db, [held.id], self._lease_seconds)
                except DatabaseUnavailable as error:
                    log.warning("heartbeat: %s", error)

        self._heartbeat = threading.Thread(target=beat, name="heartbeat", daemon=True)
        self._heartbeat.start()
        try:
            yield
        finally:
            done.set()
