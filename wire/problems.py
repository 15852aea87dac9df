"""Problem documents (RFC 9457): the HTTP status and the JSON of every error."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NoReturn

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from detectors.errors import UnknownModel
from jobs import errors
from jobs.errors import BoxqueueError

MEDIA_TYPE = "application/problem+json"
# Seconds. Clients may send a request again after this pause if it could not be served.
RETRY_AFTER = 2

# An error has the status of its class, or else that of its nearest base class in this table.
STATUS: dict[type[Exception], int] = {
    errors.NotFound: 404,
    UnknownModel: 422,
    errors.BatchClosed: 409,
    errors.BatchCancelled: 409,
    errors.JobFinished: 409,
    errors.KeyReused: 422,
    errors.KeyInFlight: 409,
    errors.BadCursor: 400,
    # Not 503: that means that the server cannot serve (RFC 9110, 15.6.4). Proxies take such a server out of service,
    # also for clients that only read. 429 may also count the requests of all clients together (RFC 6585, 4).
    errors.QueueFull: 429,
    errors.PictureEmpty: 400,
    errors.PictureUnknownFormat: 415,
    errors.PictureUnsupported: 415,
    errors.PictureTooLarge: 413,
    errors.PictureTooCostly: 413,
    errors.PictureRefused: 400,
    errors.Unavailable: 503,
    BoxqueueError: 500,
}


class Refusal(Exception):
    """A refused request. `members` are added to the members that every problem document has."""

    def __init__(
        self, status: int, code: str, detail: str, headers: Mapping[str, str] = MappingProxyType({}), **members: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.headers = headers
        self.members = members


@dataclass(frozen=True, slots=True)
class Problem:
    """A response of the type application/problem+json."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


def problem_json(status: int, code: str, detail: str) -> dict[str, Any]:
    """The members that every problem document has."""
    title = code.replace("_", " ").capitalize()
    return {"type": f"urn:boxqueue:problem:{code}", "title": title, "status": status, "detail": detail, "code": code}


REFUSALS = (BoxqueueError, UnknownModel, Refusal)
"""The errors that have a problem document."""


def problem_of(error: BoxqueueError | UnknownModel | Refusal) -> Problem:
    """The problem document of an error."""
    members: dict[str, Any] = {}
    headers: dict[str, str] = {}
    retry_after = None
    if isinstance(error, Refusal):
        status, members, headers = error.status, error.members, dict(error.headers)
    else:
        status = next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)
        if isinstance(error, UnknownModel):
            members = {"known": error.known}
        if isinstance(error, errors.QueueFull):
            retry_after = error.retry_after_s
    if status == 503 or isinstance(error, errors.KeyInFlight):
        retry_after = RETRY_AFTER
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return Problem(status, problem_json(status, error.code, str(error)) | members, headers)


def invalid_parameters(faults: dict[str, str]) -> Refusal:
    """The refusal of fields or parameters. `faults`: name -> what is wrong with it."""
    listed = [{"field": name, "message": message} for name, message in faults.items()]
    detail = "; ".join(f"{name}: {message}" for name, message in faults.items())
    return Refusal(422, "invalid_parameter", detail, errors=listed)


def request_too_large(max_megabytes: float) -> Refusal:
    """The refusal of a body above BOXQUEUE_MAX_REQUEST_MB."""
    return Refusal(413, "request_too_large", f"The request is too large; at most {max_megabytes:g} MB are allowed.")


def refuse_invalid(error: ValidationError) -> NoReturn:
    """Raises the refusal that describes the faults found by a schema."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    for fault in faults:
        if fault["type"] == "not_found":
            raise errors.NotFound(fault["msg"])
        if fault["type"] == "bad_cursor":
            raise errors.BadCursor(fault["msg"])
        if fault["type"] == "control_character":
            raise Refusal(400, "control_character", f"{_field(fault)}: {fault['msg']}", field=_field(fault))
    raise invalid_parameters({_field(fault): _message(fault) for fault in faults})


def _field(fault: ErrorDetails) -> str:
    return ".".join(str(part) for part in fault["loc"]) or "body"


def _message(fault: ErrorDetails) -> str:
    if fault["type"] == "extra_forbidden":
        return "There is no such parameter."
    return fault["msg"].removeprefix("Value error, ")
