"""One picture in an HTTP request, in any of the ways in which it may be sent, and the answer."""

import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from werkzeug.http import parse_options_header

from serverless.detection import Detection
from wire.bodies import decode_base64, json_object, no_picture, validate
from wire.fields import Name, Shown, Source
from wire.forms import fields_of, parse_form
from wire.problems import MEDIA_TYPE, REFUSED, Refusal, invalid_parameters, problem_json, problem_of

log = logging.getLogger(__name__)

_MAX_PARTS = 16
NO_HEADERS: Mapping[str, str] = {}


class Question(Shown):
    """What is asked of a picture. The same names as in the API's `POST /v1/jobs`."""

    model: Name | None = None
    source: Source | None = None


class Document(Question):
    """A picture as JSON."""

    image_base64: str


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request as a cloud hands it over. `query` are the pairs of the address, decoded."""

    method: str
    content_type: str
    query: Sequence[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """`body` is JSON; `headers` tell its media type."""

    status: int
    headers: Mapping[str, str]
    body: str


def respond(detection: Detection, request: Request) -> Response:
    """200 with the job, which may be `failed`; or a refusal, as the API has them."""
    if request.method != "POST":
        detail = f"The method {request.method} is not allowed here; send the picture with POST."
        return _json(405, problem_json(405, "method_not_allowed", detail), MEDIA_TYPE, {"Allow": "POST"})
    try:
        data, question = _read(request, detection.settings.max_request_mb)
        return _json(200, detection.answer(data, **question.model_dump(include=set(Question.model_fields))))
    except REFUSED as error:
        problem = problem_of(error)
        log.log(logging.WARNING if problem.status >= 500 else logging.INFO, "%d %s", problem.status, error)
        return _json(problem.status, problem.body, MEDIA_TYPE, problem.headers)


def _read(request: Request, max_megabytes: float) -> tuple[bytes, Question]:
    """The picture and what is asked of it. Raises `Refusal`."""
    if len(request.body) > max_megabytes * 1e6:
        raise Refusal(413, "request_too_large", f"The request is too large; at most {max_megabytes:g} MB are taken.")
    media_type, options = parse_options_header(request.content_type)
    if media_type == "application/json":
        if request.query:
            raise invalid_parameters({name: "Put it into the JSON." for name, _ in request.query})
        document = validate(Document, json_object(request.body), strict=True)
        return decode_base64(document.image_base64), document
    if media_type == "multipart/form-data":
        return _from_form(request, options.get("boundary"))
    if media_type.startswith("image/") or media_type == "application/octet-stream":
        return request.body, _question(request.query)
    if not request.body:
        raise no_picture()
    raise Refusal(
        415,
        "unsupported_media_type",
        "Send the picture as it is with its media type, as multipart/form-data, or as application/json with "
        "image_base64.",
    )


def _from_form(request: Request, boundary: str | None) -> tuple[bytes, Question]:
    fields, files = parse_form(io.BytesIO(request.body), boundary, len(request.body), max_parts=_MAX_PARTS)
    if "image" not in files:
        raise no_picture()
    if len(files.getlist("image")) > 1:
        raise Refusal(413, "too_many_pictures", "One picture a request is taken here.")
    question = _question([*request.query, *fields.items(multi=True)])
    file = files["image"]
    return file.stream.read(), question.model_copy(update={"source": question.source or file.filename or None})


def _question(pairs: Sequence[tuple[str, str]]) -> Question:
    return validate(Question, fields_of(pairs))


def _json(
    status: int, document: dict[str, Any], media_type: str = "application/json", headers: Mapping[str, str] = NO_HEADERS
) -> Response:
    return Response(status, {"Content-Type": media_type, **headers}, json.dumps(document))
