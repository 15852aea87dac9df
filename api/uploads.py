"""Bodies with pictures: a multipart form with one or several files, or JSON with one picture in base64."""

from dataclasses import dataclass

from flask import Request

from api.schemas import JobDocument, JobForm
from wire.bodies import M, decode_base64, json_object, no_picture, validate
from wire.forms import parse_form, read_fields
from wire.problems import Refusal, invalid_parameters


@dataclass(frozen=True, slots=True)
class File:
    """The bytes of a picture as they were sent, and its source."""

    data: bytes
    source: str | None


@dataclass(frozen=True, slots=True)
class Upload:
    """The pictures of a request, and its options."""

    files: list[File]
    options: JobForm | JobDocument


def read_upload(request: Request, max_pictures: int) -> Upload:
    """Reads the pictures of a request. Raises `Refusal`."""
    if request.mimetype == "multipart/form-data":
        return _from_form(request, max_pictures)
    if request.mimetype == "application/json":
        document = read_json(request, JobDocument)
        return Upload([File(decode_base64(document.image_base64), document.source)], document)
    if request.mimetype == "application/x-www-form-urlencoded" or not (request.mimetype or request.content_length):
        # A form without files, from a browser or from `curl -d`, or no body at all.
        raise no_picture()
    raise Refusal(
        415,
        "unsupported_media_type",
        "Send the picture as multipart/form-data or as application/json with image_base64.",
    )


def read_json(request: Request, schema: type[M], optional: bool = False) -> M:
    """Reads and validates a JSON body. If it is `optional`, an empty body counts as `{}`. Raises `Refusal`."""
    data = request.get_data(cache=False)
    if not data and optional:
        return validate(schema, {})
    if request.mimetype != "application/json":
        raise Refusal(415, "unsupported_media_type", "Send the body as application/json.")
    return validate(schema, json_object(data), strict=True)


def _from_form(request: Request, max_pictures: int) -> Upload:
    boundary = request.mimetype_params.get("boundary")
    # A file and a `source` for each picture, and each other field at most once.
    max_parts = 2 * max_pictures + len(JobForm.model_fields) + 10
    fields, files = parse_form(request.stream, boundary, request.content_length, max_parts=max_parts)
    # Browsers send an empty file without a name if the user chose no file.
    named = [(file.filename or "", file.stream.read()) for file in files.getlist("image")]
    named = [(name, data) for name, data in named if name or data]
    if not named:
        raise no_picture()
    if len(named) > max_pictures:
        raise Refusal(
            413,
            "too_many_pictures",
            f"There are {len(named)} pictures in the request; at most {max_pictures} are allowed.",
        )
    values = read_fields(pair for pair in fields.items(multi=True) if pair[0] != "source")
    if "image" in values:
        raise Refusal(400, "no_picture", "The field image is text; send it as a file.")
    names = [name or "image" for name, _ in named]
    form = validate(JobForm, values | {"image": names, "source": fields.getlist("source") or names})
    if len(form.source) != len(named):
        raise invalid_parameters({"source": "Send one source for each picture, or none."})
    return Upload([File(data, source) for (_, data), source in zip(named, form.source, strict=True)], form)
