"""What requests may say. These schemas validate, and the OpenAPI document is made from them."""

import re
import uuid
from base64 import urlsafe_b64decode
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError

from detectors.strict import Strict
from jobs.tables import STATUSES
from wire.fields import Name, Score, Shown, Source, plain

_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
LONGEST_WAIT_SECONDS = 60


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
        raise PydanticCustomError("bad_cursor", "This cursor is none of ours; begin again without one.") from None


Id = Annotated[str, AfterValidator(_id)]


class JobPath(BaseModel):
    job_id: Id = Field(description="The job's id.", json_schema_extra={"format": "uuid"})


class BatchPath(BaseModel):
    batch_id: Id = Field(description="The batch's id.", json_schema_extra={"format": "uuid"})


class SubmitHeaders(BaseModel):
    prefer: Annotated[str, AfterValidator(plain)] | None = Field(
        None,
        description="`wait=10` answers with the finished job if it comes within 10 seconds (60 at most).",
        json_schema_extra={"example": "wait=10"},
    )
    idempotency_key: Name | None = Field(
        None,
        alias="Idempotency-Key",
        description="Any text of your own. Sending the same request again with the same key gives the same jobs "
        "instead of new ones, for a day. Use it when a request may have to be repeated.",
        json_schema_extra={"example": "scan-0815-page-3"},
    )


class _Options(Shown):
    model: Name = Field(
        description="Name of a model, as `GET /v1/models` lists it.", json_schema_extra={"example": "cards-pytorch"}
    )
    priority: int = Field(0, ge=-100, le=100, description="Higher goes first. Use negative ones for bulk work.")
    cache: bool = Field(
        True,
        description="The same picture and model give the stored answer without running the model again. "
        "`false` runs it in any case.",
    )


class JobDocument(_Options):
    """A picture as JSON."""

    image_base64: str = Field(description="The picture's bytes in base64.")
    source: Source | None = Field(
        None, description="Where the picture is from: a file name or URI, for you to find it."
    )


class JobForm(_Options):
    """Pictures as a form, the way that costs least. Each `image` becomes a job."""

    image: list[Annotated[str, Field(json_schema_extra={"format": "binary"})]] = Field(
        description="The pictures' files. Their names are kept as `source`."
    )
    source: list[Source] = Field([], description="Other sources than the file names: one for each picture, in order.")


class BatchDocument(Strict):
    name: Name | None = Field(None, description="A name for people.", json_schema_extra={"example": "forms of May"})


class JobQuery(Strict):
    wait: float | None = Field(
        None,
        ge=0,
        le=LONGEST_WAIT_SECONDS,
        allow_inf_nan=False,
        description="Seconds to wait for the job's answer. The job comes at once when it is there.",
        json_schema_extra={"example": 30},
    )
    min_score: Score | None = Field(
        None, description="Shows detections from this score up, whatever the job asked for."
    )


class ListQuery(Strict):
    batch: Id | None = Field(None, description="Only jobs of this batch.")
    status: Literal[STATUSES] | None = Field(None, description="Only jobs with this status.")  # type: ignore[valid-type]
    model: Name | None = Field(None, description="Only jobs of this model.")
    label: Name | None = Field(None, description="Only jobs that found at least one such object.")
    min_score: Score | None = Field(
        None, description="Only jobs with a detection of at least this score (and of that label, if one is asked for)."
    )
    limit: int = Field(50, ge=1, le=200, description="Most jobs a page.")
    cursor: Annotated[str, AfterValidator(_cursor)] | None = Field(
        None, description="Where the next page begins; `next` in the answer has it."
    )


class AnnotatedQuery(Strict):
    min_score: Score | None = Field(
        None, description="Draws detections from this score up, whatever the job asked for."
    )


class ResultsQuery(Strict):
    format: Literal["jsonl"] = Field("jsonl", description="`jsonl`: one job a line.")
