"""Answers without a database: they are returned to the client and not stored."""

import time
from datetime import UTC, datetime

from detectors.machine import usable_memory
from engine.acceptance import InspectedPicture
from engine.inference import Finding, Pictures
from engine.timing import ms_since
from jobs.records import JobRecord, NewJob
from jobs.tables import FAILED, SUCCEEDED, new_id
from serverless.models import Models


class StatelessBackend:
    """Runs the model for every picture. An event that is delivered again runs the model again."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def answer(self, new: NewJob, inspected: InspectedPicture, event: str | None) -> JobRecord:
        """A job with its answer. Raises `ModelOutage`."""
        started_at, started = datetime.now(UTC), time.perf_counter()
        finding = None if new.refusal else self._find(new.model, inspected.data)
        error = finding.error if finding else new.refusal
        return JobRecord(
            id=new_id(),
            status=FAILED if error else SUCCEEDED,
            model=new.model,
            model_digest=new.digest,
            batch_id=None,
            source=new.source,
            priority=new.priority,
            deaths=0,
            repeated=False,
            image=new.picture,
            detections=list(finding.detections) if finding and finding.detections is not None else None,
            error_code=error.code if error else None,
            error_message=str(error) if error else None,
            options=new.options or {},
            metadata=new.metadata,
            device=self._models.device if finding else None,
            timings_ms={"queued": 0.0, **finding.timings_ms, "total": ms_since(started)} if finding else None,
            created_at=started_at,
            started_at=started_at if finding else None,
            finished_at=datetime.now(UTC),
        )

    def close(self) -> None:
        """Does nothing, because there are no connections."""

    def _find(self, model: str, data: bytes) -> Finding:
        entry = self._models.entry(model)
        pictures = Pictures(entry)
        with self._models.detector(entry) as detector:
            pictures.decode("", lambda: data, memory_limit=usable_memory())
            return pictures.infer(detector)[""]
