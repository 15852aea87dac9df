"""From the pictures of a request to accepted jobs."""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass

from api.service import Service
from api.uploads import File, Upload
from detectors.catalogue import PIPELINE_REVISION, ModelEntry
from engine.inspection import inspect
from jobs.batches import require_open
from jobs.errors import BoxqueueError, DatabaseUnavailable, PictureRefused
from jobs.idempotency import drop_key, known_jobs, reserve_key
from jobs.records import JobRecord, NewJob, Picture
from jobs.result_cache import needs_queue
from jobs.settings import Settings
from jobs.store import get_jobs, submit
from jobs.tables import QUEUED


@dataclass(frozen=True, slots=True)
class _Looked:
    file: File
    picture: Picture | None
    refusal: PictureRefused | None


def accept(service: Service, upload: Upload, *, batch_id: str | None = None, key: str | None = None) -> list[JobRecord]:
    """Accepts the pictures of a request, all or none, in order; what it gives is in the store and committed.

    Outside a batch a picture that its header disqualifies refuses the request; in a batch it makes a job that is
    `failed` from the start. `key` is the client's Idempotency-Key. A full queue refuses only what would have to wait
    in it: not a request that was accepted before, nor pictures that have their answer already.

    Raises `UnknownModel`, `PictureRefused`, `NotFound`, `BatchClosed`, `BatchCancelled`, `KeyReused`, `KeyInFlight`,
    `QueueFull`, `DatabaseUnavailable` or `StoreUnavailable`.
    """
    entry = service.model(upload.options.model)
    looked = [_look(file, service.settings) for file in upload.files]
    if batch_id is None:
        for one in looked:
            if one.refusal:
                raise type(one.refusal)(f"{one.file.source}: {one.refusal}" if one.file.source else str(one.refusal))
    new = _new_jobs(entry, upload, looked)
    fingerprint = _fingerprint(upload, looked, batch_id) if key else ""
    if full := service.pressure.refusal(entry.runtime, upload.options.priority, len(new)):
        # Nothing is written on the way out: there may be many who ask while it is full.
        if key and (known := known_jobs(service.db, key, fingerprint)) is not None:
            return get_jobs(service.db, known)
        if needs_queue(service.db, new, PIPELINE_REVISION):
            if batch_id:
                require_open(service.db, batch_id)
            raise full
    if key is None:
        return _accept(service, entry, looked, new, batch_id, None)
    known = reserve_key(service.db, key, fingerprint)
    if known is not None:
        return get_jobs(service.db, known)
    try:
        return _accept(service, entry, looked, new, batch_id, key)
    except BoxqueueError:
        with suppress(DatabaseUnavailable):
            drop_key(service.db, key)
        raise


def _look(file: File, settings: Settings) -> _Looked:
    try:
        return _Looked(file, inspect(file.data, **settings.picture_limits), None)
    except PictureRefused as refusal:
        return _Looked(file, None, refusal)


def _new_jobs(entry: ModelEntry, upload: Upload, looked: list[_Looked]) -> list[NewJob]:
    asked = upload.options.model_dump(include={"min_score", "max_detections"}, exclude_none=True)
    options = {**entry.defaults.model_dump(exclude_none=True), **asked}
    return [
        NewJob(
            model=entry.name,
            digest=entry.digest,
            runtime=entry.runtime,
            picture=one.picture,
            refusal=one.refusal,
            source=one.file.source,
            options=options,
            # What a server without a named version answered yesterday need not be what it answers today.
            cache=upload.options.cache and entry.repeats,
            priority=upload.options.priority,
            metadata=upload.options.metadata,
        )
        for one in looked
    ]


def _accept(
    service: Service,
    entry: ModelEntry,
    looked: list[_Looked],
    new: list[NewJob],
    batch_id: str | None,
    key: str | None,
) -> list[JobRecord]:
    service.store.put_many([(one.picture.sha256, one.file.data) for one in looked if one.picture])
    jobs = submit(service.db, new, pipeline=PIPELINE_REVISION, batch_id=batch_id, key=key)
    if any(job.status == QUEUED for job in jobs):
        service.queue.ring(entry.runtime)
    return jobs


def _fingerprint(upload: Upload, looked: list[_Looked], batch_id: str | None) -> str:
    """Tells requests apart: what is asked, of which pictures, into which batch."""
    pictures = [
        (one.picture.sha256 if one.picture else hashlib.sha256(one.file.data).hexdigest(), one.file.source)
        for one in looked
    ]
    asked = upload.options.model_dump(exclude={"image", "image_base64", "source"})
    return hashlib.sha256(json.dumps([batch_id, asked, pictures], sort_keys=True).encode()).hexdigest()
