"""Request bodies in JSON, with the picture in base64."""

import binascii
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from wire.problems import EncodingRefused, Refusal, invalid_parameters, refuse_invalid

M = TypeVar("M", bound=BaseModel)
_URL_SAFE = str.maketrans("-_", "+/")


def json_object(data: bytes | str) -> dict[str, Any]:
    """Parses a JSON object. Raises `Refusal` if the body is anything else."""
    try:
        document = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise Refusal(400, "malformed_json", f"The body is not valid JSON: {error}.") from error
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
    """The bytes of base64, or of a data URL in base64. Raises `Refusal` if the text is neither."""
    text = image_base64
    if text[:5].lower() == "data:":
        kind, _, text = text.partition(",")
        if not kind.lower().endswith(";base64"):
            raise invalid_parameters({"image_base64": "Of data URLs only those in base64 are read: data:…;base64,…."})
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        # Line breaks are common, because the command `base64` wraps its lines. So is the alphabet of URLs, often
        # without padding (RFC 4648, 5).
        plain = "".join(text.split()).translate(_URL_SAFE).rstrip("=")
        try:
            return binascii.a2b_base64(plain + "=" * (-len(plain) % 4), strict_mode=True)
        except ValueError as error:
            raise invalid_parameters({"image_base64": f"It is not valid base64: {error}."}) from error


def is_picture(media_type: str) -> bool:
    """Whether a body of this media type is a picture itself."""
    return media_type.startswith("image/") or media_type == "application/octet-stream"


def require_uncompressed(content_encoding: str | None) -> None:
    """Raises `Refusal` for the Content-Encoding of a compressed body."""
    if (encoding := (content_encoding or "").strip()) and encoding.lower() != "identity":
        raise EncodingRefused(encoding)


def no_picture() -> Refusal:
    """The refusal of a request that has no picture."""
    return Refusal(
        400,
        "no_picture",
        "The request has no picture: send a form with a file named image, the picture itself as the body with its "
        "Content-Type, or image_base64 in JSON.",
    )
