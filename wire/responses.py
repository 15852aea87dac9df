"""The schemas of the responses, for the OpenAPI document. A test checks that what the API answers has them.

`wire/serializers.py` makes the JSON.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from jobs.tables import STATUSES

JOB_ID = "0199c1d2-7c1e-7aa0-8000-0123456789ab"
_BATCH_ID = "0199c1d2-0b5f-7d31-8000-9876543210fe"
_TIME = "2026-11-23T10:15:30.123Z"


class Detection(BaseModel):
    label: str = Field(json_schema_extra={"example": "textbox"})
    class_id: int
    score: float = Field(description="0 to 1.", json_schema_extra={"example": 0.97})
    box: list[float] = Field(
        min_length=4,
        max_length=4,
        description="x1, y1, x2, y2 in pixels of the picture as a person sees it (EXIF turned).",
        json_schema_extra={"example": [21.0, 29.2, 135.1, 57.0]},
    )


class Image(BaseModel):
    sha256: str
    media_type: str = Field(json_schema_extra={"example": "image/png"})
    width: int = Field(description="Pixels, as a person sees the picture (EXIF turned).")
    height: int


class JobError(BaseModel):
    code: str = Field(description="Stable: compare this.", json_schema_extra={"example": "picture_undecodable"})
    message: str = Field(description="For people.")


class JobLinks(BaseModel):
    self: str
    image: str
    annotated: str


class Job(BaseModel):
    """One picture, one model, one answer."""

    id: str = Field(json_schema_extra={"format": "uuid", "example": JOB_ID})
    status: Literal[STATUSES]  # type: ignore[valid-type]
    model: str
    model_digest: str = Field(description="The version: of the file, and how it is fed and read.")
    batch_id: str | None = Field(json_schema_extra={"example": None})
    source: str | None = Field(
        description="File name or URI as it was given.", json_schema_extra={"example": "card.png"}
    )
    priority: int
    deaths: int = Field(description="Workers that died while they had this job alone. After two it fails.")
    repeated: bool = Field(description="The answer was there already: the same picture and model had one.")
    image: Image | None = Field(description="null where the picture was refused.")
    detections: list[Detection] | None = Field(
        description="null until the job succeeded; then by score, highest first."
    )
    error: JobError | None = Field(description="Why the job failed; null unless it did.")
    metadata: dict[str, Any] = Field(description="What was sent with the job.")
    device: str | None = Field(description="What the model ran on.", json_schema_extra={"example": "cpu"})
    timings_ms: dict[str, float] | None = Field(description="Where the time went, in milliseconds.")
    created_at: datetime = Field(json_schema_extra={"example": _TIME})
    started_at: datetime | None
    finished_at: datetime | None
    links: JobLinks


class Jobs(BaseModel):
    """The jobs of several pictures, in the order of the pictures."""

    jobs: list[Job]


class JobPage(BaseModel):
    """Jobs, newest first."""

    jobs: list[Job]
    next: str | None = Field(description="Address of the next page; null on the last one.")


class BatchLinks(BaseModel):
    self: str
    jobs: str
    results: str


class Batch(BaseModel):
    """A named set of jobs and its progress."""

    id: str = Field(json_schema_extra={"format": "uuid", "example": _BATCH_ID})
    name: str | None
    status: Literal["open", "running", "finished", "cancelled"] = Field(
        description="`open` takes jobs; `running` is closed and has jobs without an answer; `finished` is closed and "
        "has all its answers."
    )
    total: int
    pending: int = Field(description="Jobs without an answer.")
    succeeded: int
    failed: int
    cancelled: int
    rate_per_s: float | None = Field(description="Jobs a second, of the last minute while it runs.")
    eta_s: float | None = Field(description="Seconds until the pending jobs have their answer, at this rate.")
    created_at: datetime
    closed_at: datetime | None
    cancelled_at: datetime | None
    finished_at: datetime | None
    links: BatchLinks


class FieldFault(BaseModel):
    field: str
    message: str


class Problem(BaseModel):
    """A refusal, as RFC 9457 has it. `code` is stable; more members may stand beside these."""

    type: str = Field(json_schema_extra={"example": "urn:boxqueue:problem:unknown_model"})
    title: str = Field(json_schema_extra={"example": "Unknown model"})
    status: int = Field(json_schema_extra={"example": 422})
    detail: str = Field(
        description="One sentence for the person who has to act on it.",
        json_schema_extra={"example": "There is no model named 'crads'. Known models: cards-pytorch."},
    )
    code: str = Field(description="Stable: compare this.", json_schema_extra={"example": "unknown_model"})
    known: list[str] | None = Field(None, description="With `unknown_model`: the models that there are.")
    field: str | None = Field(None, description="With `control_character`: where it stands.")
    errors: list[FieldFault] | None = Field(None, description="With `invalid_parameter`: each field and its fault.")
