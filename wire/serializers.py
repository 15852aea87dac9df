"""A job as JSON: the same from the API and from a function in the cloud.

Plain dictionaries, not instances of a schema: a batch's answers come by the thousand.
"""

from datetime import datetime
from typing import Any

from jobs.records import DetectionRecord, JobRecord
from jobs.tables import SUCCEEDED


def job_json(job: JobRecord, min_score: float | None = None) -> dict[str, Any]:
    """A job's JSON. `min_score` overrides the one that the job was submitted with."""
    path = f"/v1/jobs/{job.id}"
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


def shown_detections(job: JobRecord, min_score: float | None = None) -> list[DetectionRecord]:
    """The detections that the job's options let through: the store keeps everything from the model's floor score up."""
    found = job.detections or []
    least = job.options.get("min_score") if min_score is None else min_score
    if least is not None:
        found = [detection for detection in found if detection.score >= least]
    return found[: job.options.get("max_detections")]


def timestamp(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _detection_json(detection: DetectionRecord) -> dict[str, Any]:
    return {
        "label": detection.label,
        "class_id": detection.class_id,
        "score": round(detection.score, 4),
        "box": [round(edge, 2) for edge in (detection.x1, detection.y1, detection.x2, detection.y2)],
    }
