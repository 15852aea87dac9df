"""The WSGI application of the custom handler. It has the functions that the folders beside it declare."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from werkzeug import Request, Response

from detectors.errors import UnknownModel
from jobs.errors import BoxqueueError, PictureMissing, Unavailable
from serverless import requests
from serverless.azure_functions.fetch import address, fetch
from serverless.azure_functions.triggers import Invocation, JsonObject, response_json
from serverless.detection import Detection
from serverless.messages import Message
from wire.bodies import decode_base64, json_object, validate
from wire.body_stream import BodyStream
from wire.problems import MEDIA_TYPE, REFUSALS, Refusal, problem_of, request_too_large

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger(__name__)

# In an outage the response for a blob is delayed by this time, because the host tries a blob again at once, and only as
# often as `host.json` allows. Between the tries of a message the host waits by itself.
OUTAGE_SECONDS = 30.0
# Query parameters that are for the host: the key of a function, and the name of that key.
HOST_PARAMETERS = ("code", "clientId")
# The host forwards requests for the function `detect` unchanged. All HTTP triggers have the prefix /api.
HTTP_PATH = "/api/detect"


class Handler:
    """Answers the requests of the host, one at a time.

    The host tries a blob or a message again if the status is 400 or higher, so an outage is 503. If a picture cannot be
    read, or a message would always be refused, the status is 200 and the failure is stored as the answer.
    """

    def __init__(self, detection: Detection, *, outage_seconds: float = OUTAGE_SECONDS) -> None:
        """`outage_seconds`: delay of the response for a blob in an outage."""
        self._detection = detection
        self._outage_seconds = outage_seconds
        self._functions: dict[str, Callable[[Invocation], JsonObject]] = {"/blob": self._blob, "/queue": self._queue}

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        return self._respond(Request(environ))(environ, start_response)

    def _respond(self, request: Request) -> Response:
        if request.path == "/":
            return Response()  # the host checks whether the handler is ready
        try:
            # One byte above the limit, so that a larger body is noticed.
            body = BodyStream(request.environ).read(int(self._detection.settings.max_request_mb * 1e6) + 1)
            if request.path == HTTP_PATH:
                return self._detect(request, body)
            return _json(self._invoke(request.path, body))
        except REFUSALS as error:
            return _problem(error)
        except Exception:
            log.exception("unexpected error")
            return _problem(Refusal(500, "internal_error", "The function failed. Its log has the details."))

    def _detect(self, request: Request, body: bytes) -> Response:
        query = [pair for pair in request.args.items(multi=True) if pair[0] not in HOST_PARAMETERS]
        picture = requests.Request(request.method, request.content_type or "", query, body, request.content_encoding)
        response = requests.respond(self._detection, picture)
        return Response(response.body, response.status, list(response.headers.items()))

    def _invoke(self, path: str, body: bytes) -> JsonObject:
        """Calls the function of this path. Raises `Refusal` or `Unavailable`, after which the host tries again."""
        if path not in self._functions:
            raise Refusal(404, "not_found", f"There is no function at {path}.")
        if len(body) > self._detection.settings.max_request_mb * 1e6:
            raise request_too_large(self._detection.settings.max_request_mb)
        return self._functions[path](Invocation.read(body))

    def _blob(self, invocation: Invocation) -> JsonObject:
        data, source = invocation.picture("picture"), address(invocation.metadata_text("Uri"))
        # The hash is part of the name, because a blob with new content is a new event.
        event = f"blob {source} {hashlib.sha256(data).hexdigest()}"
        try:
            return _report(self._detection.answer(data, source=source, event=event))
        except Unavailable:
            time.sleep(self._outage_seconds)
            raise

    def _queue(self, invocation: Invocation) -> JsonObject:
        message_id, text = invocation.metadata_text("Id"), invocation.text("message")
        try:
            message = validate(Message, json_object(text), strict=True)
            options = message.options()
            options["source"] = message.source or address(message.uri or "") or None
            return _report(self._detection.answer(self._picture(message), **options, event=f"queue {message_id}"))
        except Unavailable:
            raise
        except REFUSALS as error:
            # A new delivery of the message would be refused too.
            problem = problem_of(error).body
            return response_json(problem, f"message {message_id}: {problem['code']}, {problem['detail']}")

    def _picture(self, message: Message) -> bytes | PictureMissing:
        """The picture of a message. Raises `Refusal` or `StoreUnavailable`."""
        if message.image_base64 is not None:
            return decode_base64(message.image_base64)
        try:
            return fetch(message.uri or "", self._detection.settings.picture_limits["max_bytes"])
        except PictureMissing as missing:
            return missing


def _report(job: JsonObject) -> JsonObject:
    """The response for a job: its document, and a line for the host's log."""
    result = f", {job['error']['code']}" if job["error"] else ""
    if job["detections"] is not None:
        result = f", {len(job['detections'])} detections"
    return response_json(job, f"{job['source'] or job['id']}: {job['status']}{result}")


def _problem(error: BoxqueueError | UnknownModel | Refusal) -> Response:
    problem = problem_of(error)
    log.warning("%d %s %r", problem.status, problem.body["code"], problem.body["detail"])
    return Response(json.dumps(problem.body), problem.status, dict(problem.headers), mimetype=MEDIA_TYPE)


def _json(document: JsonObject) -> Response:
    return Response(json.dumps(document), mimetype="application/json")
