"""Accepts pictures as jobs: inspects the header, stores the bytes, commits the rows."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from detectors.catalogue import PIPELINE_REVISION, ModelEntry
from engine.inspection import inspect
from jobs.database import Database
from jobs.errors import BoxqueueError, DatabaseUnavailable, PictureMissing, PictureRefused
from jobs.idempotency import drop_key, reserve_key
from jobs.image_store import ImageStore
from jobs.records import JobRecord, NewJob, Picture
from jobs.store import get_jobs, submit


@dataclass(frozen=True, slots=True)
class InspectedPicture:
    """A picture's file, and what its header says."""

    data: bytes
    """Empty if the file could not be read."""
    picture: Picture | None
    refusal: PictureRefused | PictureMissing | None
    """Why there is no `picture`."""
    source: str | None

    @classmethod
    def read(
        cls, data: bytes | PictureRefused | PictureMissing, source: str | None, limits: Mapping[str, float]
    ) -> "InspectedPicture":
        """`data` is the picture's file, or why it could not be read; `limits` are `Settings.picture_limits`."""
        if not isinstance(data, bytes):
            return cls(b"", None, data, source)
        try:
            return cls(data, inspect(data, **limits), None, source)
        except PictureRefused as refusal:
            return cls(data, None, refusal, source)


@dataclass(frozen=True, slots=True)
class Key:
    """An idempotency key, and a fingerprint of the request: different requests have different fingerprints."""

    value: str
    fingerprint: str


def new_job(
    entry: ModelEntry,
    inspected: InspectedPicture,
    *,
    min_score: float | None,
    max_detections: int | None,
    metadata: dict[str, Any] | None,
    priority: int = 0,
    cache: bool = True,
) -> NewJob:
    """A job for a picture. For options that are None the model's defaults apply."""
    asked = {"min_score": min_score, "max_detections": max_detections}
    return NewJob(
        model=entry.name,
        digest=entry.digest,
        runtime=entry.runtime,
        picture=inspected.picture,
        refusal=inspected.refusal,
        source=inspected.source,
        options=entry.defaults.model_dump(exclude_none=True)
        | {name: value for name, value in asked.items() if value is not None},
        # A model server may replace a model that has no fixed version.
        cache=cache and entry.is_reproducible,
        priority=priority,
        metadata=metadata,
    )


def accept(
    db: Database,
    images: ImageStore,
    jobs: Sequence[NewJob],
    inspected: Sequence[InspectedPicture],
    *,
    batch_id: str | None = None,
    key: Key | None = None,
) -> list[JobRecord]:
    """Accepts jobs with their pictures, all or none, in order. Afterwards they are in the store and committed.

    If a request with the same `key` was accepted before, its jobs are returned.

    Raises `NotFound`, `BatchClosed`, `BatchCancelled`, `KeyReused`, `KeyInFlight`, `DatabaseUnavailable` or
    `StoreUnavailable`.
    """
    if key and (known := reserve_key(db, key.value, key.fingerprint)) is not None:
        return get_jobs(db, known)
    try:
        images.put_many([(one.picture.sha256, one.data) for one in inspected if one.picture])
        return submit(db, jobs, pipeline=PIPELINE_REVISION, batch_id=batch_id, key=key.value if key else None)
    except BoxqueueError:
        if key:
            # The request failed, so its client may send it again at once.
            with suppress(DatabaseUnavailable):
                drop_key(db, key.value)
        raise
