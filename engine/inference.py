"""Runs pictures through a model: all at once, and one by one if that fails, so that only the picture at fault fails."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from detectors.base import Detector
from detectors.catalogue import ModelEntry
from detectors.errors import DetectorError, ModelBroken, RetryableError
from detectors.machine import resident_bytes
from detectors.pictures.decode import DecodedPicture, decode
from detectors.postprocess import Detections
from engine.timing import ms_since
from jobs.errors import BoxqueueError, PictureMissing
from jobs.records import DetectionRecord

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Finding:
    """What the model found in a picture, or why there is no answer."""

    detections: Sequence[DetectionRecord] | None
    """Sorted by score, highest first; None if there is an `error`."""
    error: BoxqueueError | DetectorError | None
    timings_ms: Mapping[str, float]
    """`decode` and `inference`."""


@dataclass(slots=True)
class Pictures:
    """The pictures of one model, each under the id of its job. Decode them first, then infer once."""

    entry: ModelEntry
    decoded: dict[str, DecodedPicture] = field(default_factory=dict)
    failed: dict[str, BoxqueueError | DetectorError] = field(default_factory=dict)
    decode_ms: dict[str, float] = field(default_factory=dict)

    def decode(
        self,
        job_id: str,
        read: Callable[[], bytes],
        *,
        memory_limit: int,
        within: AbstractContextManager[None] | None = None,
    ) -> None:
        """Reads a picture, and decodes it within `within`. If it is missing, damaged or too costly, only its job fails.

        `memory_limit`: resident bytes of this process, which decoding must not reach. Raises `StoreUnavailable`.
        """
        started = time.perf_counter()
        try:
            data = read()
            with within or nullcontext():
                memory_bytes = memory_limit - resident_bytes()
                self.decoded[job_id] = decode(data, self.entry.input, memory_bytes=memory_bytes)
        except (PictureMissing, DetectorError) as error:
            self.failed[job_id] = error
        self.decode_ms[job_id] = ms_since(started)

    def infer(self, detector: Detector) -> dict[str, Finding]:
        """Runs the model on the decoded pictures. Returns a finding for each picture, also for those that failed.

        Raises `RetryableError` if the model or its server gives no answer, and no picture is known to be the cause.
        """
        started = time.perf_counter()
        detections = self._detect(detector)
        # The pictures of a batch share its time.
        inference_ms = round(ms_since(started) / max(1, len(self.decoded)), 1)
        return {
            job_id: self._finding(job_id, detections.get(job_id), inference_ms if job_id in self.decoded else 0.0)
            for job_id in self.decode_ms
        }

    def _detect(self, detector: Detector) -> dict[str, Detections]:
        """The detections of the pictures that did not fail."""
        if not self.decoded:
            return {}
        try:
            found = detector.detect([picture.pixels for picture in self.decoded.values()])
            return dict(zip(self.decoded, found, strict=True))
        except RetryableError:
            raise
        except Exception as error:  # noqa: BLE001 - a third-party detector may raise anything
            log.warning("a batch of %s failed: %s; its pictures are run one by one", self.entry.name, error)
        return self._detect_each(detector)

    def _detect_each(self, detector: Detector) -> dict[str, Detections]:
        found: dict[str, Detections] = {}
        fault: DetectorError | None = None
        for job_id, picture in self.decoded.items():
            try:
                found[job_id] = detector.detect_one(picture.pixels)
            except RetryableError:
                raise
            except DetectorError as error:
                self.failed[job_id] = fault = error
        if fault and not detector.works():
            raise ModelBroken(fault) from fault
        return found

    def _finding(self, job_id: str, detections: Detections | None, inference_ms: float) -> Finding:
        timings = {"decode": self.decode_ms[job_id], "inference": inference_ms}
        if detections is None:
            return Finding(None, self.failed[job_id], timings)
        rows = detections.rows(self.decoded[job_id], self.entry.labels)
        return Finding([DetectionRecord(*row) for row in rows], None, timings)
