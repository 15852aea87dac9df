"""Refusals: every error class gets its HTTP status here, and every refusal the same shape (RFC 9457)."""

import logging
from typing import Any
from urllib.parse import quote

from flask import Flask, Response, current_app, g, request
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from jobs import errors
from jobs.errors import BoxqueueError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
# Seconds after which a client may try again what the service could not do just now.
RETRY_AFTER = 2

# The first class of an error's own line of classes that stands here decides.
STATUS: dict[type[BoxqueueError], int] = {
    errors.NotFound: 404,
    errors.UnknownModel: 422,
    errors.BatchClosed: 409,
    errors.BatchCancelled: 409,
    errors.JobFinished: 409,
    errors.KeyReused: 422,
    errors.KeyInFlight: 409,
    errors.BadCursor: 400,
    # Not 503: that says the server can't serve (RFC 9110, 15.6.4), and proxies take such a server out, with all who
    # only read. This one serves; it has more than enough to do for all its clients together, which 429 says as well
    # (RFC 6585, 4: requests may be counted across the whole server).
    errors.QueueFull: 429,
    errors.PictureEmpty: 400,
    errors.PictureUnknownFormat: 415,
    errors.PictureTooLarge: 413,
    errors.PictureRefused: 400,
    errors.Unavailable: 503,
    BoxqueueError: 500,
}

# What Flask and werkzeug refuse by themselves.
HTTP_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "request_too_large",
    415: "unsupported_media_type",
    500: "internal_error",
}


class Refusal(Exception):
    """A request that this side refuses. `members` are put into the answer beside the usual ones."""

    def __init__(self, status: int, code: str, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.members = members


def invalid_parameters(faults: dict[str, str]) -> Refusal:
    """The refusal of fields or parameters: name -> what is wrong with it."""
    listed = [{"field": field, "message": message} for field, message in faults.items()]
    detail = "; ".join(f"{field}: {message}" for field, message in faults.items())
    return Refusal(422, "invalid_parameter", detail, errors=listed)


def refuse_invalid(error: ValidationError) -> Response:
    """Turns what a schema found into the refusal that clients see; never returns."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    for fault in faults:
        if fault["type"] == "not_found":
            raise errors.NotFound(fault["msg"])
        if fault["type"] == "bad_cursor":
            raise errors.BadCursor(fault["msg"])
        if fault["type"] == "control_character":
            raise Refusal(400, "control_character", f"{_field(fault)}: {fault['msg']}", field=_field(fault))
    raise invalid_parameters({_field(fault): _message(fault) for fault in faults})


def problem_json(status: int, code: str, detail: str) -> dict[str, Any]:
    """The members that every problem has."""
    title = code.replace("_", " ").capitalize()
    return {"type": f"urn:boxqueue:problem:{code}", "title": title, "status": status, "detail": detail, "code": code}


def problem(status: int, code: str, detail: str, **members: Any) -> Response:
    """An answer of the type application/problem+json."""
    g.problem_code = code
    body = problem_json(status, code, detail) | members
    response = Response(current_app.json.dumps(body), status, mimetype=MEDIA_TYPE)
    if status == 503:
        response.headers["Retry-After"] = str(RETRY_AFTER)
    return response


def register(app: Flask) -> None:
    """Gives the application its answers for everything that goes wrong."""
    app.register_error_handler(Refusal, _refusal)
    app.register_error_handler(BoxqueueError, _error)
    app.register_error_handler(HTTPException, _http)
    app.after_request(_log)


def _log(response: Response) -> Response:
    """One line for each refused request; one for the others where DEBUG asks for it."""
    level = logging.DEBUG if response.status_code < 400 else logging.INFO
    if response.status_code >= 500:
        level = logging.WARNING
    # Quoted: a line break in an address must not begin a line of the log.
    log.log(level, "%s %s %d %s", request.method, quote(request.path), response.status_code, g.get("problem_code", ""))
    return response


def _refusal(error: Refusal) -> Response:
    return problem(error.status, error.code, str(error), **error.members)


def _error(error: BoxqueueError) -> Response:
    status = next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)
    if status == 500:
        current_app.logger.exception("an error that clients should never see", exc_info=error)
    known = {"known": error.known} if isinstance(error, errors.UnknownModel) else {}
    response = problem(status, error.code, str(error), **known)
    if isinstance(error, errors.QueueFull):
        response.headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, errors.KeyInFlight):
        response.headers["Retry-After"] = str(RETRY_AFTER)
    return response


def _http(error: HTTPException) -> Any:
    if error.response is not None:
        return error.response
    status = error.code or 500
    if status < 400:
        return error
    response = problem(status, HTTP_CODES.get(status, "http_error"), _detail(error))
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response


def _detail(error: HTTPException) -> str:
    if error.code == 413:
        limit = current_app.config["MAX_CONTENT_LENGTH"] / 1e6
        return f"The request is too large; at most {limit:g} MB are taken."
    if error.code == 404:
        return f"There is nothing at {request.path}."
    return str(error.description or error.name)


def _field(fault: ErrorDetails) -> str:
    return ".".join(str(part) for part in fault["loc"]) or "body"


def _message(fault: ErrorDetails) -> str:
    if fault["type"] == "extra_forbidden":
        return "There is no such parameter."
    return fault["msg"].removeprefix("Value error, ")
