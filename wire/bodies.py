"""Request bodies: what their type and their coding say, and JSON with the picture in base64."""

import binascii
import codecs
import re
from typing import Any, TypeVar
from urllib.parse import unquote

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from detectors.pictures.signatures import media_type_of
from wire.problems import Refusal, invalid_parameters, refuse_invalid

M = TypeVar("M", bound=BaseModel)

_DATA_URL = re.compile(r"\s*data:", re.IGNORECASE)
_URL_SAFE = str.maketrans("-_", "+/")
_FOREIGN = re.compile("[^A-Za-z0-9+/=]")
# Codings that change nothing. The last three are of a form's parts.
_PLAIN = ("", "identity", "binary", "8bit", "7bit")


def json_object(data: bytes | str) -> dict[str, Any]:
    """Parses a JSON object. Raises `Refusal` if the body is anything else."""
    if isinstance(data, bytes):
        # Editors and shells of Windows write a byte order mark at the start of a file.
        data = data.removeprefix(codecs.BOM_UTF8)
    try:
        document = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise Refusal(400, "malformed_json", f"The body is not valid JSON in UTF-8: {error}.") from error
    if not isinstance(document, dict):
        raise Refusal(400, "malformed_json", "The body must be a JSON object.")
    return document


def validate(schema: type[M], values: dict[str, Any], strict: bool = False) -> M:
    """The values as an instance of a schema. Raises `Refusal` if they do not fit.

    `strict`: no value is converted. Use it for JSON, which has types; the fields of a form are all text.
    """
    try:
        return schema.model_validate(values, strict=strict)
    except ValidationError as error:
        if any(fault["type"] == "missing" and fault["loc"] == ("image_base64",) for fault in error.errors()):
            raise no_picture() from error
        refuse_invalid(error)


def decode_base64(image_base64: str) -> bytes:
    """The decoded bytes of base64 text or a data URL. Raises `Refusal` if it is neither.

    The URL-safe alphabet is accepted too, line breaks (the command `base64` writes them), and text without padding.
    """
    text = _payload(image_base64) if _DATA_URL.match(image_base64) else image_base64
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        text = "".join(text.split()).translate(_URL_SAFE)
    if foreign := _FOREIGN.search(text):
        raise _not_base64(f"it has the character {foreign[0]!r}")
    try:
        return binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except ValueError as error:
        raise _not_base64(str(error)) from error


def _payload(url: str) -> str:
    """The base64 of a data URL (RFC 2397). Its media type is ignored: the type of a picture is told by its bytes."""
    header, comma, payload = url.partition(",")
    if not comma or not header.rstrip().lower().endswith(";base64"):
        raise invalid_parameters(
            {"image_base64": "It is a data URL without base64. Write it as data:image/png;base64,iVBORw0…"}
        )
    return unquote(payload)


def _not_base64(reason: str) -> Refusal:
    return invalid_parameters(
        {"image_base64": f"It is not valid base64: {reason}. Send the picture's bytes in base64, or as a data URL."}
    )


def is_picture(media_type: str) -> bool:
    """Whether a body of this type (in lower case) is a picture."""
    return media_type.startswith("image/") or media_type == "application/octet-stream"


def wrong_type(media_type: str, head: bytes) -> Refusal:
    """The refusal of a body that is no form, no JSON and no picture by its type. `head`: its first 64 bytes."""
    if found := media_type_of(head):
        named = f"its Content-Type is {media_type}" if media_type else "it has no Content-Type"
        return _unsupported(f"The body is a picture, but {named}. Send it with Content-Type: {found}.")
    if not head or media_type == "application/x-www-form-urlencoded":
        # A form without files, from a browser or from `curl -d`, or no body at all.
        return no_picture()
    return _unsupported(
        "Send the picture as the body with its media type, as multipart/form-data, or as application/json with "
        "image_base64."
    )


def refuse_encoding(coding: str | None, header: str = "Content-Encoding") -> None:
    """Raises `Refusal` if bytes are compressed or encoded. `coding`: the value of the header that says so."""
    if coding and coding.strip().lower() not in _PLAIN:
        raise Refusal(
            415,
            "unsupported_content_encoding",
            f"The {header} {coding.strip()} is not supported. Send the bytes as they are, without this header.",
            {"Accept-Encoding": "identity"},
        )


def no_picture() -> Refusal:
    """The refusal of a request that has no picture."""
    return Refusal(
        400,
        "no_picture",
        "The request has no picture: send it as the body with its media type, as a file named image, or in JSON as "
        "image_base64.",
    )


def _unsupported(detail: str) -> Refusal:
    return Refusal(415, "unsupported_media_type", detail)
