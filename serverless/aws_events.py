"""The events of AWS Lambda: HTTP requests, objects in S3, messages in SQS."""

import base64
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, quote, unquote_plus

from jobs.errors import DatabaseUnavailable, PictureMissing, PictureTooLarge, Unavailable
from serverless.buckets import SCHEME, Buckets
from serverless.detection import Detection, Refused
from serverless.messages import Message
from serverless.requests import Question, Request, respond
from wire.bodies import decode_base64, json_object, validate
from wire.fields import CONTROL, LONGEST_SOURCE
from wire.problems import REFUSED, Refusal, invalid_parameters, problem_of

log = logging.getLogger(__name__)

JsonObject = dict[str, Any]


class UnknownEvent(Refusal):
    """An event of a kind that this function does not know."""

    def __init__(self, detail: str) -> None:
        super().__init__(400, "unknown_event", detail)


class Events:
    """Lambda's handler. What is answered depends on the kind of the event:

    - API Gateway and Function URLs: an HTTP response;
    - S3: `{"jobs": [job, …]}`; `Unavailable` is raised, after all objects were tried, where one is to come again;
    - SQS: `{"batchItemFailures": …}`, the messages that are to come again because their trouble may pass.
    """

    def __init__(self, detection: Detection, buckets: Buckets) -> None:
        self._detection = detection
        self._buckets = buckets

    def __call__(self, event: Any, _: object) -> JsonObject:
        """Raises `UnknownEvent`."""
        if not isinstance(event, dict):
            raise UnknownEvent("This event is no JSON object.")
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
            "This event is none of API Gateway or a Function URL, S3 and SQS: it has "
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
                jobs.append(self._told(self._object(record)))
            except Unavailable as error:
                log.warning("to come again: %s", error)
                outage = outage or error
        if outage:
            raise outage
        return {"jobs": jobs}

    def _messages(self, records: list[JsonObject]) -> JsonObject:
        again: list[str] = []
        for number, record in enumerate(records):
            try:
                for job in self._message(record):
                    self._told(job)
            except DatabaseUnavailable as error:
                log.warning("this message and those behind it are to come again: %s", error)
                again += [one["messageId"] for one in records[number:]]
                break
            except Unavailable as error:
                log.warning("message %s is to come again: %s", record["messageId"], error)
                again.append(record["messageId"])
            except REFUSED as error:
                # It would be refused each time.
                _write({"message_id": record["messageId"], "problem": problem_of(error).body})
            except Exception:
                # A fault of our own: the other messages have none of it, and this one ends where the queue puts what
                # came too often.
                log.exception("message %s is to come again", record["messageId"])
                again.append(record["messageId"])
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in again]}

    def _message(self, record: JsonObject) -> Iterator[JsonObject]:
        """The jobs of a message. Raises `Refusal` or `BoxqueueError`."""
        body = json_object(record["body"])
        if _sources(body) == {"aws:s3"} or _is_test(body):
            for inner in body.get("Records", []):
                yield self._object(inner)
            return
        if "uri" not in body and "image_base64" not in body:
            raise UnknownEvent("The message is neither an event of S3 nor JSON with uri or image_base64.")
        message = validate(Message, body, strict=True)
        asked = message.model_dump(include=set(Question.model_fields))
        event = f"{record['eventSourceARN']} {record['messageId']}"
        if message.image_base64 is not None:
            yield self._detection.answer(decode_base64(message.image_base64), **asked, event=event)
            return
        bucket, _, key = (message.uri or "").removeprefix(SCHEME).partition("/")
        if not (message.uri or "").startswith(SCHEME) or not bucket or not key:
            raise invalid_parameters({"uri": "It must be s3://bucket/key."})
        asked["source"] = message.source or _source(bucket, key)
        yield self._answer(asked, event, bucket, key)

    def _object(self, record: JsonObject) -> JsonObject:
        """The job of an object that was put into a bucket. Raises `UnknownEvent` or `Unavailable`."""
        if not record["eventName"].startswith("ObjectCreated:"):
            raise UnknownEvent(f"S3 says {record['eventName']}; subscribe this function to ObjectCreated only.")
        bucket, found = record["s3"]["bucket"]["name"], record["s3"]["object"]
        key, version = unquote_plus(found["key"]), found.get("versionId")
        # Two puts of one key in a bucket without versions differ by the sequencer.
        event = f"{SCHEME}{bucket}/{key} {version} {found.get('sequencer')}"
        return self._answer({"source": _source(bucket, key)}, event, bucket, key, version)

    def _answer(self, asked: JsonObject, event: str, bucket: str, key: str, version: str | None = None) -> JsonObject:
        try:
            data: bytes | Refused = self._buckets.read(bucket, key, version)
        except (PictureMissing, PictureTooLarge) as refusal:
            data = refusal
        return self._detection.answer(data, **asked, event=event)

    def _told(self, job: JsonObject) -> JsonObject:
        """Without a database this line is the only place where the answer of a queue's message goes."""
        if self._detection.stored:
            log.info("job %s %s", job["id"], job["status"])
        else:
            _write(job)
        return job


def _sources(event: JsonObject) -> set[str]:
    return {record.get("eventSource", "") for record in event.get("Records", [])}


def _is_test(event: JsonObject) -> bool:
    """What S3 sends when it is told where to send its events."""
    return event.get("Event") == "s3:TestEvent"


def _request_1(event: JsonObject) -> Request:
    """API Gateway's REST APIs, payload format 1.0."""
    several: dict[str, list[str]] = event.get("multiValueQueryStringParameters") or {}
    query = [(name, value) for name, values in several.items() for value in values]
    return Request(event["httpMethod"], _content_type(event), query, _body(event))


def _request_2(event: JsonObject) -> Request:
    """API Gateway's HTTP APIs and Function URLs, payload format 2.0."""
    query = parse_qsl(event.get("rawQueryString", ""), keep_blank_values=True)
    return Request(event["requestContext"]["http"]["method"], _content_type(event), query, _body(event))


def _content_type(event: JsonObject) -> str:
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    return str(headers.get("content-type", ""))


def _body(event: JsonObject) -> bytes:
    body: str = event.get("body") or ""
    return base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()


def _source(bucket: str, key: str) -> str:
    """An address for people, with what can't be stored written as %XX, cut where it is too long."""
    plain = CONTROL.sub(lambda found: quote(found[0], errors="replace"), key)
    return f"{SCHEME}{bucket}/{plain}"[:LONGEST_SOURCE]


def _write(line: JsonObject) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
