"""The custom handler's WSGI application: the functions that `host.json` and the folders beside it describe."""

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
from serverless.azure_functions.triggers import Invocation, JsonObject, outcome
from serverless.detection import Detection
from serverless.messages import Message
from wire.bodies import decode_base64, json_object, validate
from wire.problems import MEDIA_TYPE, REFUSED, Refusal, problem_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger(__name__)

# The host tries a blob again at once, and gives it up after as many tries as `host.json` allows; between the tries of a
# message it waits by itself.
OUTAGE_SECONDS = 30.0
# What an address has for the host alone: a function's key, and the name of that key.
OF_THE_HOST = ("code", "clientId")
# Of the function `detect`: forwarded as it came, under the prefix of all HTTP triggers.
HTTP_PATH = "/api/detect"


class Handler:
    """Answers the host, one request at a time.

    A blob or a message is tried again where the status is 400 or more: that is for what may pass. A picture that can't
    be read, or a message that would be refused each time, has its answer.
    """

    def __init__(self, detection: Detection, *, outage_seconds: float = OUTAGE_SECONDS) -> None:
        """`outage_seconds`: how long a blob is held before the host hears of an outage."""
        self._detection = detection
        self._outage_seconds = outage_seconds
        self._triggered: dict[str, Callable[[Invocation], JsonObject]] = {"/blob": self._blob, "/queue": self._queue}

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        return self._respond(Request(environ))(environ, start_response)

    def _respond(self, request: Request) -> Response:
        if request.path == "/":
            return Response()  # the host asks whether somebody listens
        # A byte more than is taken, so that this shows.
        body = request.environ["wsgi.input"].read(int(self._detection.settings.max_request_mb * 1e6) + 1)
        try:
            if request.path == HTTP_PATH:
                return self._detect(request, body)
            return _json(self._invoke(request.path, body))
        except REFUSED as error:
            return _problem(error)
        except Exception:
            log.exception("a fault of the function's own")
            return _problem(Refusal(500, "internal_error", "The function failed; its log says why."))

    def _detect(self, request: Request, body: bytes) -> Response:
        query = [pair for pair in request.args.items(multi=True) if pair[0] not in OF_THE_HOST]
        asked = requests.Request(request.method, request.content_type or "", query, body)
        answer = requests.respond(self._detection, asked)
        return Response(answer.body, answer.status, list(answer.headers.items()))

    def _invoke(self, path: str, body: bytes) -> JsonObject:
        """What the host takes from a function. Raises `Refusal` or `Unavailable`, after which it tries again."""
        if path not in self._triggered:
            raise Refusal(404, "not_found", f"There is no function at {path}.")
        if len(body) > self._detection.settings.max_request_mb * 1e6:
            raise Refusal(413, "request_too_large", f"More than {self._detection.settings.max_request_mb:g} MB came.")
        return self._triggered[path](Invocation.read(body))

    def _blob(self, invocation: Invocation) -> JsonObject:
        data, source = invocation.picture("picture"), address(invocation.about("Uri"))
        # What is written over a blob is another delivery, unless it is the same.
        event = f"blob {source} {hashlib.sha256(data).hexdigest()}"
        try:
            return _told(self._detection.answer(data, source=source, event=event))
        except Unavailable:
            time.sleep(self._outage_seconds)
            raise

    def _queue(self, invocation: Invocation) -> JsonObject:
        message_id, text = invocation.about("Id"), invocation.text("message")
        try:
            message = validate(Message, json_object(text), strict=True)
            asked = message.model_dump(include=set(requests.Question.model_fields))
            asked["source"] = message.source or address(message.uri or "") or None
            return _told(self._detection.answer(self._picture(message), **asked, event=f"queue {message_id}"))
        except Unavailable:
            raise
        except REFUSED as error:
            # It would be refused each time.
            problem = problem_of(error).body
            return outcome(problem, f"message {message_id}: {problem['code']}, {problem['detail']}")

    def _picture(self, message: Message) -> bytes | PictureMissing:
        """Raises `Refusal` or `StoreUnavailable`."""
        if message.image_base64 is not None:
            return decode_base64(message.image_base64)
        try:
            return fetch(message.uri or "", self._detection.settings.picture_limits["max_bytes"])
        except PictureMissing as missing:
            return missing


def _told(job: JsonObject) -> JsonObject:
    """The answer of a job, and a line for the log of the host."""
    found = job["error"]["code"] if job["error"] else f"{len(job['detections'])} detections"
    return outcome(job, f"{job['source'] or job['id']}: {job['status']}, {found}")


def _problem(error: BoxqueueError | UnknownModel | Refusal) -> Response:
    problem = problem_of(error)
    log.warning("%d %s %r", problem.status, problem.body["code"], problem.body["detail"])
    return Response(json.dumps(problem.body), problem.status, dict(problem.headers), mimetype=MEDIA_TYPE)


def _json(document: JsonObject) -> Response:
    return Response(json.dumps(document), mimetype="application/json")
