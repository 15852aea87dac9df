"""The events of AWS Lambda: HTTP requests, objects in S3 and messages in SQS."""

import base64
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, quote, unquote_plus

from jobs.errors import DatabaseUnavailable, PictureMissing, PictureTooLarge, Unavailable
from serverless.buckets import SCHEME, Buckets
from serverless.detection import Detection, PictureError
from serverless.messages import Message
from serverless.requests import Request, respond
from wire.bodies import decode_base64, json_object, validate
from wire.fields import CONTROL_CHARACTERS, MAX_SOURCE_LENGTH
from wire.problems import REFUSALS, Refusal, invalid_parameters, problem_of

log = logging.getLogger(__name__)

JsonObject = dict[str, Any]


class UnknownEvent(Refusal):
    """The event is of an unknown kind."""

    def __init__(self, detail: str) -> None:
        super().__init__(400, "unknown_event", detail)


class EventHandler:
    """The handler of the Lambda function. The result depends on the kind of the event:

    - API Gateway and Function URLs: an HTTP response.
    - S3: `{"jobs": [job, …]}`. In an outage it raises `Unavailable` after all objects were tried, so that Lambda
      runs the event again.
    - SQS: `{"batchItemFailures": …}`. It lists the messages that SQS should deliver again after an outage or an
      unexpected error.
    """

    def __init__(self, detection: Detection, buckets: Buckets) -> None:
        self._detection = detection
        self._buckets = buckets

    def __call__(self, event: Any, _: object) -> JsonObject:
        """Handles one event. Raises `UnknownEvent`."""
        if not isinstance(event, dict):
            raise UnknownEvent("This event is not a JSON object.")
        if event.get("version") == "2.0" and "http" in event.get("requestContext", {}):
            return self._http(_request_2(event))
        if "httpMethod" in event:
            return self._http(_request_1(event))
        sources = _sources(event)
        if sources == {"aws:sqs"}:
            return self._messages(event["Records"])
        if sources == {"aws:s3"} or _is_test(event):
            return self._objects(event)
        raise UnknownEvent(
            "This event is not from API Gateway, a Function URL, S3 or SQS. It has "
            f"{', '.join(sorted(event)) or 'nothing'}{f' from {sorted(sources)}' if sources else ''}."
        )

    def _http(self, request: Request) -> JsonObject:
        response = respond(self._detection, request)
        return {
            "statusCode": response.status,
            "headers": dict(response.headers),
            "body": response.body,
            "isBase64Encoded": False,
        }

    def _objects(self, event: JsonObject) -> JsonObject:
        jobs, outage = [], None
        for record in event.get("Records", []):
            try:
                jobs.append(self._report(self._object(record)))
            except Unavailable as error:
                log.warning("the event has to be delivered again: %s", error)
                outage = outage or error
        if outage:
            raise outage
        return {"jobs": jobs}

    def _messages(self, records: list[JsonObject]) -> JsonObject:
        failed: list[str] = []
        for number, record in enumerate(records):
            try:
                for job in self._message(record):
                    self._report(job)
            except DatabaseUnavailable as error:
                log.warning("message %s and those after it have to be delivered again: %s", record["messageId"], error)
                failed += [later["messageId"] for later in records[number:]]
                break
            except Unavailable as error:
                log.warning("message %s has to be delivered again: %s", record["messageId"], error)
                failed.append(record["messageId"])
            except REFUSALS as error:
                # It would be refused every time.
                _write({"message_id": record["messageId"], "problem": problem_of(error).body})
            except Exception:
                # An error in this function. It must not affect the other messages. After too many deliveries the queue
                # moves this one to its dead-letter queue.
                log.exception("message %s has to be delivered again", record["messageId"])
                failed.append(record["messageId"])
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}

    def _message(self, record: JsonObject) -> Iterator[JsonObject]:
        """The jobs of a message. Raises `Refusal` or `BoxqueueError`."""
        body = json_object(record["body"])
        if _sources(body) == {"aws:s3"} or _is_test(body):
            for inner in body.get("Records", []):
                yield self._object(inner)
            return
        if "uri" not in body and "image_base64" not in body:
            raise UnknownEvent("The message is neither an event of S3 nor a JSON object with uri or image_base64.")
        message = validate(Message, body, strict=True)
        options = message.options()
        event = f"{record['eventSourceARN']} {record['messageId']}"
        if message.image_base64 is not None:
            yield self._detection.answer(decode_base64(message.image_base64), **options, event=event)
            return
        bucket, _, key = (message.uri or "").removeprefix(SCHEME).partition("/")
        if not (message.uri or "").startswith(SCHEME) or not bucket or not key:
            raise invalid_parameters({"uri": "It must be s3://bucket/key."})
        options["source"] = message.source or _source(bucket, key)
        yield self._answer(options, event, bucket, key)

    def _object(self, record: JsonObject) -> JsonObject:
        """The job of a new object in a bucket. Raises `UnknownEvent` or `Unavailable`."""
        if not record["eventName"].startswith("ObjectCreated:"):
            raise UnknownEvent(f"The S3 event is {record['eventName']}; subscribe this function to ObjectCreated only.")
        bucket, entry = record["s3"]["bucket"]["name"], record["s3"]["object"]
        key, version = unquote_plus(entry["key"]), entry.get("versionId")
        # In a bucket without versions, only the sequencer differs between two objects that were put under the same key.
        event = f"{SCHEME}{bucket}/{key} {version} {entry.get('sequencer')}"
        return self._answer({"source": _source(bucket, key)}, event, bucket, key, version)

    def _answer(self, options: JsonObject, event: str, bucket: str, key: str, version: str | None = None) -> JsonObject:
        try:
            data: bytes | PictureError = self._buckets.read(bucket, key, version)
        except (PictureMissing, PictureTooLarge) as refusal:
            data = refusal
        return self._detection.answer(data, **options, event=event)

    def _report(self, job: JsonObject) -> JsonObject:
        """Logs the job. Without a database it prints the job as JSON, because the answer is stored nowhere else."""
        if self._detection.stored:
            log.info("job %s %s", job["id"], job["status"])
        else:
            _write(job)
        return job


def _sources(event: JsonObject) -> set[str]:
    return {record.get("eventSource", "") for record in event.get("Records", [])}


def _is_test(event: JsonObject) -> bool:
    """Whether it is the test message that S3 sends when its notifications are configured."""
    return event.get("Event") == "s3:TestEvent"


def _request_1(event: JsonObject) -> Request:
    """API Gateway's REST APIs, payload format 1.0."""
    several: dict[str, list[str]] = event.get("multiValueQueryStringParameters") or {}
    query = [(name, value) for name, values in several.items() for value in values]
    return _request(event, event["httpMethod"], query)


def _request_2(event: JsonObject) -> Request:
    """API Gateway's HTTP APIs and Function URLs, payload format 2.0."""
    query = parse_qsl(event.get("rawQueryString", ""), keep_blank_values=True)
    return _request(event, event["requestContext"]["http"]["method"], query)


def _request(event: JsonObject, method: str, query: list[tuple[str, str]]) -> Request:
    headers = {name.lower(): str(value) for name, value in (event.get("headers") or {}).items()}
    text: str = event.get("body") or ""
    body = base64.b64decode(text) if event.get("isBase64Encoded") else text.encode()
    return Request(method, headers.get("content-type", ""), query, body, headers.get("content-encoding"))


def _source(bucket: str, key: str) -> str:
    """The address of an object as a source, with control characters as %XX, and shortened."""
    quoted = CONTROL_CHARACTERS.sub(lambda match: quote(match[0], errors="replace"), key)
    return f"{SCHEME}{bucket}/{quoted}"[:MAX_SOURCE_LENGTH]


def _write(line: JsonObject) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
