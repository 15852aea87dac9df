"""Accepts the pictures of a request as jobs."""

import hashlib
import json

from api.service import Service
from api.uploads import Upload
from detectors.catalogue import PIPELINE_REVISION
from engine.acceptance import InspectedPicture, Key, accept, new_job
from jobs.answers import needs_queue
from jobs.batches import require_open
from jobs.idempotency import known_jobs
from jobs.records import JobRecord
from jobs.store import get_jobs
from jobs.tables import QUEUED


def submit(service: Service, upload: Upload, *, batch_id: str | None = None, key: str | None = None) -> list[JobRecord]:
    """Accepts the pictures of a request as jobs, all or none, in order.

    If the header of a picture cannot be accepted, the request is refused; in a batch the picture becomes a job that is
    `failed` from the start. `key` is the client's Idempotency-Key. A full queue refuses only requests whose jobs would
    wait in it. It does not refuse a request that was accepted before, nor pictures that have a stored answer.

    Raises `UnknownModel`, `PictureRefused`, `NotFound`, `BatchClosed`, `BatchCancelled`, `KeyReused`, `KeyInFlight`,
    `QueueFull`, `DatabaseUnavailable` or `StoreUnavailable`.
    """
    options = upload.options
    entry = service.catalogue.get(options.model)
    limits = service.settings.picture_limits
    inspected = [InspectedPicture.read(file.data, file.source, limits) for file in upload.files]
    if batch_id is None:
        _require_pictures(inspected)
    fields = options.model_dump(include={"min_score", "max_detections", "metadata", "priority", "cache"})
    new = [new_job(entry, picture, **fields) for picture in inspected]
    identity = Key(key, _fingerprint(upload, inspected, batch_id)) if key else None
    if full := service.backpressure.refusal(entry.runtime, options.priority, len(new)):
        # Nothing is written here, because many requests may be refused while the queue is full.
        if identity and (known := known_jobs(service.db, identity.value, identity.fingerprint)) is not None:
            return get_jobs(service.db, known)
        if needs_queue(service.db, new, PIPELINE_REVISION):
            if batch_id:
                require_open(service.db, batch_id)
            raise full
    jobs = accept(service.db, service.store, new, inspected, batch_id=batch_id, key=identity)
    if any(job.status == QUEUED for job in jobs):
        service.doorbell.ring(entry.runtime)
    return jobs


def _require_pictures(inspected: list[InspectedPicture]) -> None:
    """Raises the first refusal. Its message begins with the source of the picture."""
    for picture in inspected:
        if refusal := picture.refusal:
            raise type(refusal)(f"{picture.source}: {refusal}" if picture.source else str(refusal))


def _fingerprint(upload: Upload, inspected: list[InspectedPicture], batch_id: str | None) -> str:
    """Differs between requests with different options, pictures or batches."""
    pictures = [
        (one.picture.sha256 if one.picture else hashlib.sha256(one.data).hexdigest(), one.source) for one in inspected
    ]
    options = upload.options.model_dump(exclude={"image", "image_base64", "source"})
    return hashlib.sha256(json.dumps([batch_id, options, pictures], sort_keys=True).encode()).hexdigest()
