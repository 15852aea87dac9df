"""HTTP requests with one picture, and the responses. The picture may be the body, in a form, or in JSON."""

import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from werkzeug.http import parse_options_header

from detectors.pictures.signatures import HEAD_BYTES
from serverless.detection import Detection
from wire.bodies import decode_base64, is_picture, json_object, refuse_encoding, validate, wrong_type
from wire.fields import Name, PictureOptions, Source
from wire.forms import parse_form, read_fields
from wire.problems import MEDIA_TYPE, REFUSALS, Refusal, invalid_parameters, problem_json, problem_of, request_too_large

log = logging.getLogger(__name__)

_MAX_PARTS = 16
NO_HEADERS: Mapping[str, str] = {}


class RequestOptions(PictureOptions):
    """The options of a request. They have the same names as in the service's `POST /v1/jobs`."""

    model: Name | None = None
    source: Source | None = None

    def options(self) -> dict[str, Any]:
        """The options as arguments of `Detection.answer`, without the further fields of subclasses."""
        return self.model_dump(include=set(RequestOptions.model_fields))


class PictureDocument(RequestOptions):
    """A picture as JSON."""

    image_base64: str


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request from any cloud. `query`: the decoded pairs of the query string."""

    method: str
    content_type: str
    query: Sequence[tuple[str, str]]
    body: bytes
    content_encoding: str | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response. `body` is JSON."""

    status: int
    headers: Mapping[str, str]
    body: str


def respond(detection: Detection, request: Request) -> Response:
    """200 with the job, which may be `failed`, or a refusal like those of the service."""
    if request.method != "POST":
        detail = f"The method {request.method} is not allowed; send the picture with POST."
        return _json(405, problem_json(405, "method_not_allowed", detail), MEDIA_TYPE, {"Allow": "POST"})
    try:
        data, fields = _read(request, detection.settings.max_request_mb)
        return _json(200, detection.answer(data, **fields.options()))
    except REFUSALS as error:
        problem = problem_of(error)
        log.log(logging.WARNING if problem.status >= 500 else logging.INFO, "%d %s", problem.status, error)
        return _json(problem.status, problem.body, MEDIA_TYPE, problem.headers)


def _read(request: Request, max_megabytes: float) -> tuple[bytes, RequestOptions]:
    """The picture and its options. Raises `Refusal`."""
    if len(request.body) > max_megabytes * 1e6:
        raise request_too_large(max_megabytes)
    refuse_encoding(request.content_encoding)
    media_type, parameters = parse_options_header(request.content_type)
    media_type = media_type.lower()
    if media_type == "application/json":
        if request.query:
            raise invalid_parameters({name: "With a JSON body, send it in the JSON." for name, _ in request.query})
        document = validate(PictureDocument, json_object(request.body), strict=True)
        return decode_base64(document.image_base64), document
    if media_type == "multipart/form-data":
        return _from_form(request, parameters.get("boundary"))
    if is_picture(media_type):
        return request.body, _options(request.query)
    raise wrong_type(media_type, request.body[:HEAD_BYTES])


def _from_form(request: Request, boundary: str | None) -> tuple[bytes, RequestOptions]:
    fields, files = parse_form(io.BytesIO(request.body), boundary, max_parts=_MAX_PARTS)
    if len(files) > 1:
        raise Refusal(413, "too_many_pictures", "A request may have only one picture.")
    options = _options([*request.query, *fields])
    return files[0].data, options.model_copy(update={"source": options.source or files[0].name or None})


def _options(pairs: Sequence[tuple[str, str]]) -> RequestOptions:
    return validate(RequestOptions, read_fields(pairs))


def _json(
    status: int, document: dict[str, Any], media_type: str = "application/json", headers: Mapping[str, str] = NO_HEADERS
) -> Response:
    return Response(status, {"Content-Type": media_type, **headers}, json.dumps(document))
