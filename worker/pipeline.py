"""From a doorbell to stored answers: the next claim is fetched and decoded while this one is in the model and the last
one is being written."""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from detectors.base import Detector
from detectors.catalogue import ModelEntry, servers_of
from detectors.errors import DetectorError, ModelUnavailable, NoAnswer
from detectors.pictures.decode import Decoded, decode
from detectors.postprocess import Detections
from jobs.errors import BoxqueueError, DatabaseUnavailable, PictureMissing, StoreUnavailable
from jobs.queue.claims import HeldClaim, Outcome, claim, finish, give_back
from jobs.queue.queries import has_waiting
from jobs.queue.recovery import WORKER_LOST, requeue_as_suspects, undo_expiry
from jobs.records import DetectionRecord
from worker.child import Child

log = logging.getLogger(__name__)

# Waits between two tries to write answers while the database is out: soon at first, then every few seconds.
BACKOFF_SECONDS = (0.1, 0.3, 1.0, 2.0, 5.0)
# With the image store out a doorbell would only take a claim and give it back; until then the sweep's ones do.
STORE_OUT_SECONDS = 5.0


@dataclass
class Work:
    """A claim on its way: its pictures, or why one of them has none."""

    claim: HeldClaim
    entry: ModelEntry
    decoded: dict[str, Decoded] = field(default_factory=dict)
    failed: dict[str, BoxqueueError | DetectorError] = field(default_factory=dict)
    decode_ms: dict[str, float] = field(default_factory=dict)
    doubt: DetectorError | None = None
    """What happened when the model's server had the pictures, and gave no answer or went out: one of them may have done
    it."""
    claimed_at: float = field(default_factory=time.perf_counter)


class Pipeline:
    """Answers one doorbell: claims and works until nothing waits, for at most `drain_seconds`."""

    def __init__(self, child: Child, task_id: str) -> None:
        self._child = child
        self._task_id = task_id
        self._until = time.monotonic() + child.settings.drain_seconds
        self._rung = False

    def drain(self) -> None:
        """Raises `DatabaseUnavailable` where no claim can be taken; the sweep rings again."""
        with ThreadPoolExecutor(1, "fetch") as fetcher, ThreadPoolExecutor(1, "write") as writer:
            writing: Future[None] | None = None
            work = self._fetch()
            while work:
                if work.claim.alone:
                    # It may take the process with it, so nothing else is at hand meanwhile.
                    _wait(writing)
                    if self._decode(work):
                        self._write(work, self._detect(work))
                    if work.entry.server is not None:
                        # It may have been alone on its server, where nobody found anything to do meanwhile.
                        self._ring_for_more()
                    work = self._fetch()
                    continue
                ahead = fetcher.submit(self._fetch)
                outcomes = self._detect(work)
                _wait(writing)
                writing = writer.submit(self._write, work, outcomes)
                work = ahead.result()
            _wait(writing)
        if self._rung:
            self._ring_for_more()

    def _fetch(self) -> Work | None:
        """The next claim with its pictures decoded, or None where there is none or the time is over."""
        child = self._child
        if child.stopping.is_set() or (self._rung and time.monotonic() >= self._until):
            return None
        child.served.follow()
        models = child.served.models
        held = claim(
            child.db,
            child.plan.runtime,
            child.takes(models),
            worker_id=child.plan.worker_id,
            task_id=self._task_id,
            lease_seconds=child.settings.lease_seconds,
            servers=servers_of(models),
        )
        if held is None:
            return None
        child.vigil.hold(held)
        if not self._rung:
            # Wakes the next process, which wakes another one, before this one gets to work.
            self._rung = True
            self._ring_for_more()
        work = Work(held, models[held.model])
        # A claim that may be the death of its process is decoded when nothing else is at hand.
        return work if held.alone or self._decode(work) else None

    def _ring_for_more(self) -> None:
        child = self._child
        if child.stopping.is_set() or time.monotonic() < child.quiet_until:
            return
        if has_waiting(child.db, child.plan.runtime, child.takes(child.served.models)):
            child.queue.ring(child.plan.runtime)

    def _decode(self, work: Work) -> bool:
        """Decodes the pictures of a claim. False where the image store is out: then the claim was given back, and
        the next sweep rings for it."""
        child = self._child
        for job in work.claim.jobs:
            started = time.perf_counter()
            try:
                data = child.images.get(job.image_sha256)
                with child.vigil.limit(work.claim, child.settings.picture_seconds):
                    work.decoded[job.id] = decode(data, work.entry.input)
            except (PictureMissing, DetectorError) as error:
                work.failed[job.id] = error
            except StoreUnavailable as error:
                log.warning("claim %s is given back: %s", work.claim.id, error)
                self._give_back(work)
                self._until = 0.0
                child.quiet_until = time.monotonic() + STORE_OUT_SECONDS
                return False
            work.decode_ms[job.id] = _ms_since(started)
        return True

    def _detect(self, work: Work) -> list[Outcome] | None:
        """The answers of a claim; None where this process can't load its model, or the model's server is out."""
        child = self._child
        detector = child.detector(work.entry)
        if detector is None:
            return None
        seconds = (child.settings.picture_seconds + detector.patience_s) * max(1, len(work.decoded))
        if work.claim.alone and work.entry.server is not None and not self._answers(detector, work, seconds):
            return None
        try:
            with child.vigil.limit(work.claim, seconds):
                started = time.perf_counter()
                found = _detect_all_or_each(detector, work)
                inference_ms = round(_ms_since(started) / max(1, len(work.decoded)), 1)
                if len(found) < len(work.decoded) and not detector.works():
                    # A sticky CUDA error, for one: from here on it would fail every picture of the queue, as fast as it
                    # can claim them. Whoever is guilty shows when it is alone with the next process.
                    log.error("the model %s raises on a blank picture too", work.claim.model)
                    child.vigil.end_process([work.claim.id], WORKER_LOST)
        except (ModelUnavailable, NoAnswer) as error:
            # What was found before it is found again: the whole claim goes back.
            work.doubt = error.doubt
            if isinstance(error, ModelUnavailable):
                child.leave_alone(work.entry, detector, error)
            return None
        outcomes = []
        for job in work.claim.jobs:
            queued_ms = round(job.age_s * 1000, 1)
            timings = {
                "queued": queued_ms,
                "decode": work.decode_ms[job.id],
                "inference": inference_ms if job.id in work.decoded else 0.0,
                "total": round(queued_ms + _ms_since(work.claimed_at), 1),
            }
            if fault := work.failed.get(job.id):
                outcomes.append(Outcome(job.id, None, fault.code, str(fault), timings))
            else:
                rows = found[job.id].rows(work.decoded[job.id], work.entry.labels)
                views = [DetectionRecord(*row) for row in rows]
                outcomes.append(Outcome(job.id, views, timings_ms=timings))
        return outcomes

    def _answers(self, detector: Detector, work: Work, seconds: float) -> bool:
        """Whether the model's server answers at all, right before it gets a picture that may have to answer for it."""
        try:
            with self._child.vigil.limit(work.claim, seconds):
                detector.detect([detector.blank()])
        except DetectorError as outage:
            self._child.leave_alone(work.entry, detector, outage)
            return False
        return True

    def _write(self, work: Work, outcomes: Sequence[Outcome] | None) -> None:
        """Writes a claim's answers, or gives it back without; an outage is waited out while the claim is held."""
        child = self._child
        if outcomes is None:
            self._give_back(work)
            return
        tries = 0
        while True:
            try:
                taken = finish(child.db, work.claim, outcomes, device=child.device)
                if not taken:
                    # Lost to the sweep, perhaps, while this process was stopped.
                    undo_expiry(child.db, work.claim.id, [job.id for job in work.claim.jobs])
                break
            except DatabaseUnavailable as error:
                if not child.vigil.holds(work.claim):
                    return
                log.warning("the answers of claim %s wait: %s", work.claim.id, error)
                time.sleep(BACKOFF_SECONDS[min(tries, len(BACKOFF_SECONDS) - 1)])
                tries += 1
        child.vigil.drop(work.claim)
        if taken:
            child.queue.announce(sorted(taken))

    def _give_back(self, work: Work) -> None:
        if work.doubt is None:
            give_back(self._child.db, work.claim)
        else:
            requeue_as_suspects(self._child.db, work.claim.id, work.doubt.code, str(work.doubt))
        self._child.vigil.drop(work.claim)


def _detect_all_or_each(detector: Detector, work: Work) -> dict[str, Detections]:
    """Runs the detector on the claim; where that raises, on each picture, so that only the guilty ones fail.

    What fails is moved to `work.failed`. Raises `ModelUnavailable` and `NoAnswer`, which are no picture's answer.
    """
    if not work.decoded:
        return {}
    try:
        found = detector.detect([picture.pixels for picture in work.decoded.values()])
        return dict(zip(work.decoded, found, strict=True))
    except (ModelUnavailable, NoAnswer):
        raise
    except Exception as error:  # noqa: BLE001 - a detector may be anybody's; what it raises is its picture's answer
        log.warning("claim %s: %s; its pictures are tried one by one", work.claim.id, error)
    each: dict[str, Detections] = {}
    for job_id, picture in work.decoded.items():
        try:
            each[job_id] = detector.detect_one(picture.pixels)
        except (ModelUnavailable, NoAnswer):
            raise
        except DetectorError as error:
            work.failed[job_id] = error
    return each


def _wait(writing: "Future[None] | None") -> None:
    if writing:
        writing.result()


def _ms_since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)
