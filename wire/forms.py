"""Multipart forms with pictures: parsed in memory, each fault a refusal."""

import io
from collections import Counter
from collections.abc import Iterable
from typing import IO, Any

from pydantic_core import from_json
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.formparser import MultiPartParser

from wire.problems import Refusal, invalid_parameters

# The parser copies its buffer at each step: small steps cost half of what its default of 64 KiB costs.
_STEP_BYTES = 16 * 1024
_MAX_FIELD_BYTES = 256 * 1024


def parse_form(
    stream: IO[bytes], boundary: str | None, length: int | None, *, max_parts: int
) -> tuple[MultiDict[str, str], MultiDict[str, FileStorage]]:
    """The fields of a form, and its pictures, which are all named `image`.

    `boundary` is that of the Content-Type, `length` the Content-Length. Raises `Refusal`.
    """
    # Not Flask's `request.files`: it writes files above 500 kB to disk, and takes a broken form for an empty one.
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
        raise invalid_parameters(dict.fromkeys(unknown, "There is no such parameter; pictures are named image."))
    return fields, files


def fields_of(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The fields of a form or of an address, each at most once, with `metadata` read as JSON. Raises `Refusal`."""
    pairs = list(pairs)
    if doubled := [name for name, number in Counter(name for name, _ in pairs).items() if number > 1]:
        raise invalid_parameters(dict.fromkeys(doubled, "Give it once."))
    fields: dict[str, Any] = dict(pairs)
    if "metadata" in fields:
        try:
            fields["metadata"] = from_json(fields["metadata"], allow_inf_nan=False)
        except ValueError as error:
            raise invalid_parameters({"metadata": f"It is not valid JSON: {error}."}) from error
    return fields
