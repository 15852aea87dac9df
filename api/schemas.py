"""The schemas of requests. They validate the requests, and the OpenAPI document is made from them."""

import re
import uuid
from base64 import urlsafe_b64decode
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError

from detectors.strict import Strict
from jobs.tables import STATUSES
from wire.fields import Name, PictureOptions, Score, Source, refuse_control_characters

_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
MAX_WAIT_SECONDS = 60


def _id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise PydanticCustomError(
            "not_found", "There is no such id: ids look like 0199c1d2-7c1e-7aa0-8000-0123456789ab."
        )
    return text.lower()


def _cursor(text: str) -> str:
    try:
        return str(uuid.UUID(bytes=urlsafe_b64decode(text + "==")))
    except ValueError:
        raise PydanticCustomError(
            "bad_cursor", "This is not a cursor of this service. Start again at the first page, without a cursor."
        ) from None


Id = Annotated[str, AfterValidator(_id)]


class JobPath(BaseModel):
    job_id: Id = Field(description="The job's id.", json_schema_extra={"format": "uuid"})


class BatchPath(BaseModel):
    batch_id: Id = Field(description="The batch's id.", json_schema_extra={"format": "uuid"})


class SubmitHeaders(BaseModel):
    prefer: Annotated[str, AfterValidator(refuse_control_characters)] | None = Field(
        None,
        description="`wait=10` waits up to 10 seconds for the answer (60 at most).",
        json_schema_extra={"example": "wait=10"},
    )
    idempotency_key: Name | None = Field(
        None,
        alias="Idempotency-Key",
        description="Any text of your own. For a day, the same request with the same key returns the same jobs "
        "and makes no new ones. Use it to make a request safe to repeat.",
        json_schema_extra={"example": "scan-0815-page-3"},
    )


class _SubmitOptions(PictureOptions):
    model: Name = Field(
        description="Name or alias of a model. `GET /v1/models` lists them.",
        json_schema_extra={"example": "cards-pytorch"},
    )
    priority: int = Field(
        0, ge=-100, le=100, description="Jobs of a higher priority run first. Use a negative priority for bulk work."
    )
    cache: bool = Field(
        True,
        description="Use the stored answer of the same picture and model, if there is one. `false` runs the model "
        "in any case.",
    )


class PictureQuery(_SubmitOptions):
    """The options of a picture that is the body."""

    source: Source | None = Field(None, description="The file name or URI of the picture, for your own use.")


class JobDocument(PictureQuery):
    """A picture as JSON."""

    image_base64: str = Field(description="The picture's bytes in base64, or a data URL with them.")


class JobForm(_SubmitOptions):
    """Pictures as a form. It is smaller than JSON with base64. Each `image` becomes a job."""

    image: list[Annotated[str, Field(json_schema_extra={"format": "binary"})]] = Field(
        description="The files of the pictures. Their names are kept as `source`."
    )
    source: list[Source] = Field([], description="Sources in place of the file names: one for each picture, in order.")


class BatchDocument(Strict):
    name: Name | None = Field(
        None, description="A name for people. It need not be unique.", json_schema_extra={"example": "forms of May"}
    )


class JobQuery(Strict):
    wait: float | None = Field(
        None,
        ge=0,
        le=MAX_WAIT_SECONDS,
        allow_inf_nan=False,
        description="Seconds to wait for the job's answer. The response comes as soon as the job has it.",
        json_schema_extra={"example": 30},
    )
    min_score: Score | None = Field(
        None, description="Shows detections from this score up, in place of the job's own `min_score`."
    )


class ListQuery(Strict):
    batch: Id | None = Field(None, description="Only jobs of this batch.")
    status: Literal[STATUSES] | None = Field(None, description="Only jobs with this status.")  # type: ignore[valid-type]
    model: Name | None = Field(None, description="Only jobs of this model.")
    label: Name | None = Field(None, description="Only jobs with at least one detection of this label.")
    min_score: Score | None = Field(
        None, description="Only jobs with a detection of at least this score (and of `label`, if that is set)."
    )
    limit: int = Field(50, ge=1, le=200, description="The largest number of jobs on a page.")
    cursor: Annotated[str, AfterValidator(_cursor)] | None = Field(
        None, description="Where the page begins. `next` in a response contains it."
    )


class AnnotatedQuery(Strict):
    min_score: Score | None = Field(
        None, description="Draws detections from this score up, in place of the job's own `min_score`."
    )


class ResultsQuery(Strict):
    format: Literal["jsonl"] = Field("jsonl", description="`jsonl`: one job per line.")
