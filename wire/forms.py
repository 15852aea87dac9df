"""Multipart forms with pictures. They are parsed in memory."""

import io
from collections import Counter
from collections.abc import Iterable
from typing import IO, Any

from pydantic_core import from_json
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.formparser import MultiPartParser

from wire.problems import Refusal, invalid_parameters

# The parser copies its buffer at each step. Steps of this size take half the time of its default of 64 KiB.
_STEP_BYTES = 16 * 1024
_MAX_FIELD_BYTES = 256 * 1024


def parse_form(
    stream: IO[bytes], boundary: str | None, length: int | None, *, max_parts: int
) -> tuple[MultiDict[str, str], MultiDict[str, FileStorage]]:
    """The text fields of a form, and its files, which must all be named `image`.

    `boundary` comes from the Content-Type header, `length` (bytes) from Content-Length. Raises `Refusal` if the form is
    malformed or has a file of another name.
    """
    # Flask's `request.files` writes files above 500 kB to disk, and reads a malformed form as an empty one.
    parser = MultiPartParser(
        stream_factory=lambda *_, **__: io.BytesIO(),
        buffer_size=_STEP_BYTES,
        max_form_memory_size=_MAX_FIELD_BYTES,
        max_form_parts=max_parts,
    )
    try:
        if not boundary:
            raise ValueError("its Content-Type has no boundary")
        fields, files = parser.parse(stream, boundary.encode("ascii"), length)
    except ValueError as error:
        raise Refusal(400, "malformed_form", f"The multipart form can't be read: {error}.") from error
    if unknown := [name for name in files if name != "image"]:
        raise invalid_parameters(dict.fromkeys(unknown, "There is no such parameter. Name the file image."))
    return fields, files


def read_fields(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The fields of a form or a query string, with `metadata` parsed as JSON. Raises `Refusal` for a repeated field."""
    pairs = list(pairs)
    if repeated := [name for name, number in Counter(name for name, _ in pairs).items() if number > 1]:
        raise invalid_parameters(dict.fromkeys(repeated, "It is there more than once. Send it once."))
    fields: dict[str, Any] = dict(pairs)
    if "metadata" in fields:
        try:
            fields["metadata"] = from_json(fields["metadata"], allow_inf_nan=False)
        except ValueError as error:
            raise invalid_parameters({"metadata": f"It is not valid JSON: {error}."}) from error
    return fields
