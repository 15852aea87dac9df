"""What the fields of a request may hold, whoever takes it."""

import json
import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from detectors.strict import Strict

# C0 and C1 control characters and lone surrogates: no name needs them, databases and logs stumble over them.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
MAX_METADATA_BYTES = 8192
LONGEST_SOURCE = 1024


def plain(text: str) -> str:
    """The text, if it has no control characters."""
    if found := CONTROL.search(text):
        raise PydanticCustomError("control_character", f"It has the control character U+{ord(found[0]):04X}.")
    return text


def _metadata(value: dict[str, Any]) -> dict[str, Any]:
    _check_strings(value)
    try:
        size = len(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode())
    except ValueError:
        raise PydanticCustomError("metadata", "It has a number that is not finite.") from None
    if size > MAX_METADATA_BYTES:
        raise PydanticCustomError("metadata", f"It has {size:,} bytes; at most {MAX_METADATA_BYTES:,} are kept.")
    return value


def _check_strings(value: Any) -> None:
    if isinstance(value, str):
        # Line breaks may stand in a note; a NUL can't be stored.
        plain(value.replace("\n", "").replace("\r", "").replace("\t", ""))
    elif isinstance(value, dict):
        for name, member in value.items():
            _check_strings(name)
            _check_strings(member)
    elif isinstance(value, list):
        for member in value:
            _check_strings(member)


Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(plain)]
Source = Annotated[str, Field(min_length=1, max_length=LONGEST_SOURCE), AfterValidator(plain)]
Score = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Shown(Strict):
    """What of an answer is shown, and what stands beside it."""

    min_score: Score | None = Field(
        None, description="Detections below this score are not shown. Left out: everything that the model stores."
    )
    max_detections: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None, description="At most so many detections are shown, those with the highest scores."
    )
    metadata: Annotated[dict[str, Any], AfterValidator(_metadata)] | None = Field(
        None,
        description=f"A JSON object of your own, at most {MAX_METADATA_BYTES:,} bytes, given back with the job.",
        json_schema_extra={"example": {"page": 3}},
    )
