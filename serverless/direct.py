"""Answers without a database: they are given to who asked, and kept nowhere."""

import time
from datetime import UTC, datetime

from jobs.records import JobRecord, NewJob
from jobs.tables import FAILED, SUCCEEDED, new_id
from serverless.models import Models, ms_since


class Direct:
    """Runs the model for each picture, and again for a delivery that comes again."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def answer(self, new: NewJob, data: bytes, event: str | None) -> JobRecord:
        """Raises `ModelOut`."""
        started_at, started = datetime.now(UTC), time.perf_counter()
        look = None if new.refusal else self._models.look(self._models.entry(new.model), data)
        error = new.refusal or (look and look.error)
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
            detections=list(look.detections) if look and look.detections is not None else None,
            error_code=error.code if error else None,
            error_message=str(error) if error else None,
            options=new.options or {},
            metadata=new.metadata,
            device=self._models.device if look else None,
            timings_ms={"queued": 0.0, **look.timings_ms, "total": ms_since(started)} if look else None,
            created_at=started_at,
            started_at=started_at if look else None,
            finished_at=datetime.now(UTC),
        )
