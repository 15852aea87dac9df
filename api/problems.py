"""Error handlers: each error becomes a problem document (`wire/problems.py`) and a line in the log."""

import logging
from typing import Any
from urllib.parse import quote

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from detectors.errors import UnknownModel
from jobs.errors import BoxqueueError
from wire.problems import MEDIA_TYPE, REFUSALS, Problem, Refusal, problem_json, problem_of, request_too_large

log = logging.getLogger(__name__)

# Status -> code, for errors that Flask and werkzeug raise.
HTTP_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "request_too_large",
    415: "unsupported_media_type",
    500: "internal_error",
}


def register(app: Flask) -> None:
    """Registers the error handlers."""
    for error in REFUSALS:
        app.register_error_handler(error, _error)
    app.register_error_handler(HTTPException, _http)
    app.after_request(_log)


def _log(response: Response) -> Response:
    """Logs each refused request. Other requests are logged at level DEBUG."""
    level = logging.DEBUG if response.status_code < 400 else logging.INFO
    if response.status_code >= 500:
        level = logging.WARNING
    # The path is quoted, because a line break in it would begin a new line of the log.
    log.log(level, "%s %s %d %s", request.method, quote(request.path), response.status_code, g.get("problem_code", ""))
    return response


def _error(error: BoxqueueError | UnknownModel | Refusal) -> Response:
    problem = problem_of(error)
    if problem.status == 500:
        current_app.logger.exception("unexpected error", exc_info=error)
    return _response(problem)


def _response(problem: Problem) -> Response:
    g.problem_code = problem.body["code"]
    return Response(current_app.json.dumps(problem.body), problem.status, problem.headers, mimetype=MEDIA_TYPE)


def _http(error: HTTPException) -> Any:
    if error.response is not None:
        return error.response
    status = error.code or 500
    if status < 400:
        return error
    response = _response(Problem(status, problem_json(status, HTTP_CODES.get(status, "http_error"), _detail(error))))
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response


def _detail(error: HTTPException) -> str:
    if error.code == 413:
        return str(request_too_large(current_app.config["MAX_CONTENT_LENGTH"] / 1e6))
    if error.code == 404:
        return f"There is nothing at {request.path}. /docs lists all addresses."
    return str(error.description or error.name)
