"""Request bodies in JSON, with the picture in base64."""

import binascii
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from wire.problems import Refusal, invalid_parameters, refuse_invalid

M = TypeVar("M", bound=BaseModel)


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
    """The decoded bytes. Raises `Refusal` if the text is not base64."""
    try:
        return binascii.a2b_base64(image_base64, strict_mode=True)
    except ValueError:
        # Line breaks are common, because the command `base64` wraps its lines.
        try:
            return binascii.a2b_base64("".join(image_base64.split()), strict_mode=True)
        except ValueError as error:
            raise invalid_parameters({"image_base64": f"It is not valid base64: {error}."}) from error


def no_picture() -> Refusal:
    """The refusal of a request that has no picture."""
    return Refusal(400, "no_picture", "The request has no picture: send a file named image, or image_base64 in JSON.")
