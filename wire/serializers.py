"""Jobs and batches as JSON. The HTTP service and the cloud functions use the same serializers.

They build dictionaries and not instances of a schema, because a batch may have thousands of jobs.
"""

from datetime import datetime
from typing import Any

from jobs.records import BatchRecord, DetectionRecord, JobRecord
from jobs.tables import SUCCEEDED


def job_path(job_id: str) -> str:
    """The address of a job."""
    return f"/v1/jobs/{job_id}"


def batch_path(batch_id: str) -> str:
    """The address of a batch."""
    return f"/v1/batches/{batch_id}"


def job_json(job: JobRecord, min_score: float | None = None) -> dict[str, Any]:
    """The JSON of a job. `min_score` (0 to 1) replaces the one that the job was submitted with."""
    path = job_path(job.id)
    return {
        "id": job.id,
        "status": job.status,
        "model": job.model,
        "model_digest": job.model_digest,
        "batch_id": job.batch_id,
        "source": job.source,
        "priority": job.priority,
        "deaths": job.deaths,
        "repeated": job.repeated,
        "image": job.image
        and {
            "sha256": job.image.sha256,
            "media_type": job.image.media_type,
            "width": job.image.width,
            "height": job.image.height,
        },
        "detections": None
        if job.status != SUCCEEDED
        else [_detection_json(detection) for detection in shown_detections(job, min_score)],
        "error": {"code": job.error_code, "message": job.error_message or ""} if job.error_code else None,
        "metadata": job.metadata or {},
        "device": job.device,
        "timings_ms": job.timings_ms,
        "created_at": timestamp(job.created_at),
        "started_at": timestamp(job.started_at),
        "finished_at": timestamp(job.finished_at),
        "links": {"self": path, "image": f"{path}/image", "annotated": f"{path}/annotated"},
    }


def batch_json(batch: BatchRecord) -> dict[str, Any]:
    """The JSON of a batch."""
    path = batch_path(batch.id)
    return {
        "id": batch.id,
        "name": batch.name,
        "status": batch.status,
        "total": batch.total,
        "pending": batch.pending,
        "succeeded": batch.succeeded,
        "failed": batch.failed,
        "cancelled": batch.cancelled,
        "rate_per_s": batch.rate_per_s and round(batch.rate_per_s, 3),
        "eta_s": batch.eta_s and round(batch.eta_s, 1),
        "created_at": timestamp(batch.created_at),
        "closed_at": timestamp(batch.closed_at),
        "cancelled_at": timestamp(batch.cancelled_at),
        "finished_at": timestamp(batch.finished_at),
        "links": {"self": path, "jobs": f"{path}/jobs", "results": f"{path}/results"},
    }


def shown_detections(job: JobRecord, min_score: float | None = None) -> list[DetectionRecord]:
    """The detections to show, by the job's options. The database has all from the model's floor score up.

    `min_score` (0 to 1) replaces the one that the job was submitted with.
    """
    detections = job.detections or []
    lowest = job.options.get("min_score") if min_score is None else min_score
    if lowest is not None:
        detections = [detection for detection in detections if detection.score >= lowest]
    return detections[: job.options.get("max_detections")]


def timestamp(moment: datetime | None) -> str | None:
    """RFC 3339 in UTC, with milliseconds."""
    return None if moment is None else moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _detection_json(detection: DetectionRecord) -> dict[str, Any]:
    return {
        "label": detection.label,
        "class_id": detection.class_id,
        "score": round(detection.score, 4),
        "box": [round(edge, 2) for edge in (detection.x1, detection.y1, detection.x2, detection.y2)],
    }
