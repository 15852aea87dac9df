"""Multipart forms with pictures. They are parsed in memory."""

import io
import re
from collections import Counter
from collections.abc import Iterable
from typing import IO, Any

from pydantic_core import from_json
from werkzeug.datastructures import FileStorage, Headers, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from wire.fields import CONTROL_CHARACTERS, MAX_SOURCE_LENGTH
from wire.problems import Refusal, invalid_parameters

# The parser copies its buffer at each step. Steps of this size take half the time of 64 KiB.
_STEP_BYTES = 16 * 1024
_MAX_FIELD_BYTES = 256 * 1024
# A quoted name ends before the next parameter or at the end.
_FILENAME = re.compile(r';\s*filename="(.*?)"\s*(?:;|$)', re.IGNORECASE)
_EXTENDED_FILENAME = re.compile(r";\s*filename\*", re.IGNORECASE)


class _Decoder(MultipartDecoder):
    """Reads headers that are not UTF-8 as Latin-1: old programs on Windows send such file names."""

    def _parse_headers(self, data: bytes | bytearray) -> Headers:
        try:
            return super()._parse_headers(data)
        except UnicodeDecodeError:
            return super()._parse_headers(data.decode("latin-1").encode())


def parse_form(
    stream: IO[bytes], boundary: str | None, *, max_parts: int
) -> tuple[MultiDict[str, str], MultiDict[str, FileStorage]]:
    """The text fields of a form, and its files, which must all be named `image`.

    `boundary` comes from the Content-Type header. Raises `Refusal` if the form is malformed or has a file of another
    name.
    """
    # Flask's `request.files` writes files above 500 kB to disk, reads a malformed form as an empty one, and changes the
    # names of files.
    fields: MultiDict[str, str] = MultiDict()
    files: MultiDict[str, FileStorage] = MultiDict()
    try:
        if not boundary:
            raise ValueError("its Content-Type has no boundary")
        decoder = _Decoder(boundary.encode("ascii"), _MAX_FIELD_BYTES, max_parts=max_parts)
        for part, content in _parts(decoder, stream):
            if isinstance(part, File):
                name = file_name(part.headers["content-disposition"])
                files.add(part.name, FileStorage(content, name, part.name, headers=part.headers))
            else:
                fields.add(part.name, content.getvalue().decode("utf-8", "replace"))
    except ValueError as error:
        raise Refusal(400, "malformed_form", f"The multipart form can't be read: {error}.") from error
    if unknown := [name for name in files if name != "image"]:
        raise invalid_parameters(dict.fromkeys(unknown, "There is no such parameter. Name the file image."))
    return fields, files


def file_name(disposition: str) -> str:
    """The file's name in a Content-Disposition header, as the client has it: for display only.

    curl and HTTP libraries write a backslash in front of quotes and backslashes. Browsers write backslashes as they
    are, and %22 for a quote; a file may also be named so, so %22 stays. Control characters are replaced, and only the
    last 1,024 characters are kept, because a name is no reason to refuse a picture.
    """
    found = None if _EXTENDED_FILENAME.search(disposition) else _FILENAME.search(disposition)
    name = re.sub(r'\\(["\\])', r"\1", found[1]) if found else parse_options_header(disposition)[1]["filename"]
    return CONTROL_CHARACTERS.sub("\ufffd", name)[-MAX_SOURCE_LENGTH:]


def _parts(decoder: MultipartDecoder, stream: IO[bytes]) -> Iterable[tuple[Field | File, io.BytesIO]]:
    """The parts of the form with their content. Raises `ValueError` or `RequestEntityTooLarge`."""
    part: Field | File = Field("", Headers())
    content, more = io.BytesIO(), True
    while more:
        data = stream.read(_STEP_BYTES)
        more = bool(data)
        decoder.receive_data(data or None)
        while not isinstance(event := decoder.next_event(), NeedData | Epilogue):
            if isinstance(event, Field | File):
                part, content = event, io.BytesIO()
            elif isinstance(event, Data):
                content.write(event.data)
                if isinstance(part, Field) and content.tell() > _MAX_FIELD_BYTES:
                    raise RequestEntityTooLarge
                if not event.more_data:
                    content.seek(0)
                    yield part, content


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
