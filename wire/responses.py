"""The schemas of the responses, for the OpenAPI document.

`wire/serializers.py` makes the JSON. A test checks that it fits these schemas.
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
        description="x1, y1, x2, y2 in pixels of the upright picture (after its EXIF rotation).",
        json_schema_extra={"example": [21.0, 29.2, 135.1, 57.0]},
    )


class Image(BaseModel):
    sha256: str
    media_type: str = Field(json_schema_extra={"example": "image/png"})
    width: int = Field(description="Pixels of the upright picture (after its EXIF rotation).")
    height: int


class JobError(BaseModel):
    code: str = Field(
        description="Stable. Programs should compare it.", json_schema_extra={"example": "picture_undecodable"}
    )
    message: str = Field(description="A sentence for people. It may change.")


class JobLinks(BaseModel):
    self: str
    image: str
    annotated: str


class Job(BaseModel):
    """One picture, one model and the answer."""

    id: str = Field(json_schema_extra={"format": "uuid", "example": JOB_ID})
    status: Literal[STATUSES]  # type: ignore[valid-type]
    model: str
    model_digest: str = Field(
        description="The version of the model: its file, its preprocessing and its postprocessing."
    )
    batch_id: str | None = Field(json_schema_extra={"example": None})
    source: str | None = Field(
        description="The file name or URI that was sent with the picture.", json_schema_extra={"example": "card.png"}
    )
    priority: int
    deaths: int = Field(description="Crashes of a worker that held only this job. After two crashes the job fails.")
    repeated: bool = Field(description="The answer was taken from an earlier job with the same picture and model.")
    image: Image | None = Field(description="null if the picture was refused.")
    detections: list[Detection] | None = Field(
        description="Sorted by score, highest first. null until the job has succeeded."
    )
    error: JobError | None = Field(description="Why the job failed. null if it did not fail.")
    metadata: dict[str, Any] = Field(description="The JSON object that was sent with the job.")
    device: str | None = Field(description="The device that ran the model.", json_schema_extra={"example": "cpu"})
    timings_ms: dict[str, float] | None = Field(description="Milliseconds of each step.")
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
    next: str | None = Field(description="Address of the next page. null on the last page.")


class BatchLinks(BaseModel):
    self: str
    jobs: str
    results: str


class Batch(BaseModel):
    """A set of jobs and its progress."""

    id: str = Field(json_schema_extra={"format": "uuid", "example": _BATCH_ID})
    name: str | None
    status: Literal["open", "running", "finished", "cancelled"] = Field(
        description="`open`: the batch takes jobs. `running`: it is closed and some jobs have no answer yet. "
        "`finished`: it is closed and all jobs have their answer."
    )
    total: int
    pending: int = Field(description="Jobs without an answer.")
    succeeded: int
    failed: int
    cancelled: int
    rate_per_s: float | None = Field(
        description="Jobs per second in the last minute. For a finished batch, over its whole time."
    )
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
    """A refusal (RFC 9457). `code` is stable. There may be further members."""

    type: str = Field(json_schema_extra={"example": "urn:boxqueue:problem:unknown_model"})
    title: str = Field(json_schema_extra={"example": "Unknown model"})
    status: int = Field(json_schema_extra={"example": 422})
    detail: str = Field(
        description="One sentence for the person who has to act on it.",
        json_schema_extra={"example": "There is no model named 'crads'. Known models: cards-pytorch."},
    )
    code: str = Field(description="Stable. Programs should compare it.", json_schema_extra={"example": "unknown_model"})
    known: list[str] | None = Field(None, description="With `unknown_model`: the names of all models.")
    field: str | None = Field(None, description="With `control_character`: the field that has it.")
    errors: list[FieldFault] | None = Field(
        None, description="With `invalid_parameter`: each wrong field and what is wrong with it."
    )
