"""The fields of a request, with their limits. The HTTP service and the cloud functions use the same ones."""

import json
import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from detectors.strict import Strict

# C0 and C1 control characters and lone surrogates. No name needs them, and databases and logs cannot keep them.
CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
MAX_METADATA_BYTES = 8192
MAX_SOURCE_LENGTH = 1024


def refuse_control_characters(text: str) -> str:
    """The text unchanged. Refuses it if it has a control character."""
    if found := CONTROL_CHARACTERS.search(text):
        raise PydanticCustomError("control_character", f"It has the control character U+{ord(found[0]):04X}.")
    return text


def _metadata(value: dict[str, Any]) -> dict[str, Any]:
    _check_strings(value)
    try:
        size = len(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode())
    except ValueError:
        raise PydanticCustomError(
            "metadata", "It has a number that is not finite; send null or text instead."
        ) from None
    if size > MAX_METADATA_BYTES:
        raise PydanticCustomError(
            "metadata", f"It has {size:,} bytes as JSON; at most {MAX_METADATA_BYTES:,} are allowed."
        )
    return value


def _check_strings(value: Any) -> None:
    if isinstance(value, str):
        # Notes may have line breaks and tabs. Other control characters, such as NUL, cannot be stored.
        refuse_control_characters(value.replace("\n", "").replace("\r", "").replace("\t", ""))
    elif isinstance(value, dict):
        for name, member in value.items():
            _check_strings(name)
            _check_strings(member)
    elif isinstance(value, list):
        for member in value:
            _check_strings(member)


Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(refuse_control_characters)]
Source = Annotated[str, Field(min_length=1, max_length=MAX_SOURCE_LENGTH), AfterValidator(refuse_control_characters)]
Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class PictureOptions(Strict):
    """The options that every request with a picture has."""

    min_score: Score | None = Field(
        None, description="Detections below this score are not shown. If it is left out, the model's default applies."
    )
    max_detections: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None, description="The largest number of detections to show. Those with the highest scores are shown."
    )
    metadata: Annotated[dict[str, Any], AfterValidator(_metadata)] | None = Field(
        None,
        description=f"A JSON object of your own, at most {MAX_METADATA_BYTES:,} bytes. It is returned with the job.",
        json_schema_extra={"example": {"page": 3}},
    )
