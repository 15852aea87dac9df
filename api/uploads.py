"""Bodies with pictures: a form with one or several files, JSON with one picture in base64, or the picture itself."""

from dataclasses import dataclass

from flask import Request

from api.schemas import JobDocument, JobForm, PictureQuery
from detectors.pictures.signatures import HEAD_BYTES
from wire.bodies import M, decode_base64, is_picture, json_object, refuse_encoding, validate, wrong_type
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
    options: JobForm | JobDocument | PictureQuery


def read_upload(request: Request, max_pictures: int) -> Upload:
    """Reads the pictures of a request. Raises `Refusal`."""
    refuse_encoding(request.content_encoding)
    if is_picture(request.mimetype):
        query = validate(PictureQuery, read_fields(request.args.items(multi=True)))
        return Upload([File(request.get_data(cache=False), query.source)], query)
    if request.mimetype == "multipart/form-data":
        _refuse_query(request, "Send it as a field of the form.")
        return _from_form(request, max_pictures)
    if request.mimetype == "application/json":
        _refuse_query(request, "Send it in the JSON.")
        document = read_json(request, JobDocument)
        return Upload([File(decode_base64(document.image_base64), document.source)], document)
    raise wrong_type(request.mimetype, request.stream.read(HEAD_BYTES))


def read_json(request: Request, schema: type[M], optional: bool = False) -> M:
    """Reads and validates a JSON body. If it is `optional`, an empty body counts as `{}`. Raises `Refusal`."""
    refuse_encoding(request.content_encoding)
    data = request.get_data(cache=False)
    if not data and optional:
        return validate(schema, {})
    if request.mimetype != "application/json":
        raise Refusal(415, "unsupported_media_type", "Send the body as application/json.")
    return validate(schema, json_object(data), strict=True)


def _refuse_query(request: Request, message: str) -> None:
    if request.args:
        raise invalid_parameters(
            dict.fromkeys(request.args, f"The address has options only for a plain picture. {message}")
        )


def _from_form(request: Request, max_pictures: int) -> Upload:
    # A file and a `source` for each picture, and each other field at most once.
    max_parts = 2 * max_pictures + len(JobForm.model_fields) + 10
    fields, files = parse_form(request.stream, request.mimetype_params.get("boundary"), max_parts=max_parts)
    if len(files) > max_pictures:
        raise Refusal(
            413,
            "too_many_pictures",
            f"There are {len(files)} pictures in the request; at most {max_pictures} are allowed.",
        )
    names = [file.name or "image" for file in files]
    sources = [value for name, value in fields if name == "source"]
    values = read_fields(pair for pair in fields if pair[0] != "source")
    form = validate(JobForm, values | {"image": names, "source": sources or names})
    if len(form.source) != len(files):
        raise invalid_parameters({"source": "Send one source for each picture, or none."})
    return Upload([File(file.data, source) for file, source in zip(files, form.source, strict=True)], form)
