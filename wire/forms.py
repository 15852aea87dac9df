"""Multipart forms with pictures. They are parsed in memory."""

import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from pydantic_core import from_json
from werkzeug.datastructures import Headers
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData, State

from wire.bodies import no_picture, refuse_encoding
from wire.disposition import Disposition, decoded
from wire.problems import Refusal, invalid_parameters

# The parser copies its buffer at each step. Steps of this size take half the time of steps of 64 KiB.
_STEP_BYTES = 16 * 1024
_MAX_FIELD_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class FormFile:
    """A file of a form. `name`: as the client sent it; empty if it has none."""

    name: str
    data: bytes


def parse_form(
    stream: IO[bytes], boundary: str | None, *, max_parts: int
) -> tuple[list[tuple[str, str]], list[FormFile]]:
    """The text fields of a form, in order, and its files, which must all be named `image`.

    `boundary` comes from the Content-Type header. A file without name and bytes is left out, because browsers send one
    if the user chose no file. Raises `Refusal` if the form is malformed or too large, or has a file of another name.
    """
    fields: list[tuple[str, str]] = []
    files: list[FormFile] = []
    unknown: list[str] = []
    # Flask's `request.files` writes files above 500 kB to disk, and reads a malformed form as an empty one.
    for part, data in _parts(stream, boundary, max_parts):
        if part.filename is None:
            fields.append((part.name, decoded(data)))
        elif part.name != "image":
            unknown.append(part.name)
        elif part.filename or data:
            files.append(FormFile(part.filename, data))
    if unknown:
        raise invalid_parameters(dict.fromkeys(unknown, "There is no such parameter. Name the file image."))
    if any(name == "image" for name, _ in fields):
        raise Refusal(400, "no_picture", "The field image is text; send it as a file (curl -F image=@card.png).")
    if not files:
        raise no_picture()
    return fields, files


class _Decoder(MultipartDecoder):
    def _parse_headers(self, data: bytes | bytearray) -> Headers:
        # The inherited method refuses what is not UTF-8.
        return super()._parse_headers(decoded(bytes(data)).encode())


def _parts(stream: IO[bytes], boundary: str | None, max_parts: int) -> Iterator[tuple[Disposition, bytes]]:
    if not boundary or not boundary.isascii():
        raise _malformed("its Content-Type has no boundary. Leave this header to your HTTP library, which adds one")
    decoder = _Decoder(boundary.encode(), _MAX_FIELD_BYTES, max_parts=max_parts)
    for event in _events(stream, decoder):
        if isinstance(event, Field | File):
            refuse_encoding(event.headers.get("Content-Transfer-Encoding"), "Content-Transfer-Encoding")
            part, content = Disposition.parse(event.headers["Content-Disposition"]), io.BytesIO()
            if not part.name:
                raise _malformed("a part has no name")
        elif isinstance(event, Data):
            content.write(event.data)
            if part.filename is None and content.tell() > _MAX_FIELD_BYTES:
                raise _too_large(max_parts)
            if not event.more_data:
                yield part, content.getvalue()


def _events(stream: IO[bytes], decoder: MultipartDecoder) -> Iterator[Event]:
    while True:
        data = stream.read(_STEP_BYTES)
        try:
            decoder.receive_data(data or None)
            while not isinstance(event := decoder.next_event(), NeedData | Epilogue):
                yield event
        except RequestEntityTooLarge:
            raise _too_large(decoder.max_parts) from None
        except ValueError as error:
            if decoder.state == State.PREAMBLE:
                raise _malformed("the boundary that its Content-Type names is not in it") from error
            raise _malformed("it ends before its last boundary" if decoder.complete else str(error)) from error
        if not data:
            return


def _malformed(reason: str) -> Refusal:
    return Refusal(400, "malformed_form", f"The multipart form can't be read: {reason}.")


def _too_large(max_parts: int | None) -> Refusal:
    return Refusal(
        413,
        "request_too_large",
        f"The form is too large; at most {max_parts} parts are allowed, and {_MAX_FIELD_BYTES:,} bytes in a text.",
    )


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
