"""Bodies that bring pictures: a multipart form with one file or several, or JSON with one in base64."""

import io
from dataclasses import dataclass
from typing import Any

from flask import Request
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.formparser import MultiPartParser

from api.schemas import JobDocument, JobForm
from wire.bodies import M, decode_base64, json_object, no_picture, validate, with_metadata
from wire.problems import Refusal, invalid_parameters

# Werkzeug's parser copies what it has buffered at each step: small steps cost half of what its 64 KiB cost.
_STEP_BYTES = 16 * 1024
_MAX_FIELD_BYTES = 256 * 1024
_FIELDS_OF_ONE = {"model", "min_score", "max_detections", "priority", "cache", "metadata"}


@dataclass(frozen=True, slots=True)
class File:
    """A picture's bytes as they came, and where they came from."""

    data: bytes
    source: str | None


@dataclass(frozen=True, slots=True)
class Upload:
    """What a request asks for: these pictures with these options."""

    files: list[File]
    options: JobForm | JobDocument


def read_upload(request: Request, max_pictures: int) -> Upload:
    """The pictures of a request. Raises `Refusal`."""
    if request.mimetype == "multipart/form-data":
        return _from_form(request, max_pictures)
    if request.mimetype == "application/json":
        document = read_json(request, JobDocument)
        return Upload([File(decode_base64(document.image_base64), document.source)], document)
    if request.mimetype == "application/x-www-form-urlencoded" or not (request.mimetype or request.content_length):
        # A form without files, from a browser or from `curl -d`; or nothing at all.
        raise no_picture()
    raise Refusal(
        415,
        "unsupported_media_type",
        "Send the picture as multipart/form-data or as application/json with image_base64.",
    )


def read_json(request: Request, schema: type[M], optional: bool = False) -> M:
    """The request's JSON, held to a schema; an empty body counts as `{}` where it is `optional`. Raises `Refusal`."""
    data = request.get_data(cache=False)
    if not data and optional:
        return validate(schema, {})
    if request.mimetype != "application/json":
        raise Refusal(415, "unsupported_media_type", "Send the body as application/json.")
    return validate(schema, json_object(data), strict=True)


def _from_form(request: Request, max_pictures: int) -> Upload:
    fields, files = _parse_form(request, max_pictures)
    if unknown := [name for name in files if name != "image"]:
        raise invalid_parameters(dict.fromkeys(unknown, "There is no such parameter; pictures are named image."))
    # A browser's form sends an empty file without a name where none was chosen.
    named = [(file.filename or "", file.stream.read()) for file in files.getlist("image")]
    named = [(name, data) for name, data in named if name or data]
    if not named:
        raise no_picture()
    if len(named) > max_pictures:
        raise Refusal(413, "too_many_pictures", f"At most {max_pictures} pictures a request; these are {len(named)}.")
    values = _plain_fields(fields)
    names = [name or "image" for name, _ in named]
    form = validate(JobForm, {**values, "image": names, "source": values["source"] or names})
    if len(form.source) != len(named):
        raise invalid_parameters({"source": "Give as many as there are pictures, or none."})
    return Upload([File(data, source) for (_, data), source in zip(named, form.source, strict=True)], form)


def _parse_form(request: Request, max_pictures: int) -> tuple[MultiDict[str, str], MultiDict[str, FileStorage]]:
    # Not Flask's `request.files`: it spools to disk above 500 kB and takes a broken form for an empty one.
    parser = MultiPartParser(
        stream_factory=_in_memory,
        buffer_size=_STEP_BYTES,
        max_form_memory_size=_MAX_FIELD_BYTES,
        max_form_parts=2 * max_pictures + len(_FIELDS_OF_ONE) + 10,
    )
    try:
        boundary = request.mimetype_params.get("boundary", "").encode("ascii")
        if not boundary:
            raise ValueError("its Content-Type has no boundary")
        return parser.parse(request.stream, boundary, request.content_length)
    except ValueError as error:
        raise Refusal(400, "malformed_form", f"The multipart form can't be read: {error}.") from error


def _in_memory(*_: Any, **__: Any) -> io.BytesIO:
    return io.BytesIO()


def _plain_fields(fields: MultiDict[str, str]) -> dict[str, Any]:
    if doubled := [name for name, values in fields.lists() if len(values) > 1 and name != "source"]:
        raise invalid_parameters(dict.fromkeys(doubled, "Give it once."))
    plain: dict[str, Any] = {name: value for name, value in fields.items() if name != "source"}
    if "image" in plain:
        raise Refusal(400, "no_picture", "image came as text; send it as a file.")
    plain["source"] = fields.getlist("source")
    return with_metadata(plain)
