"""The events of AWS Lambda, as its documentation shows them, and the results of the handler."""

import base64
import json
from typing import Any

import pytest

from jobs.errors import DatabaseUnavailable, PictureMissing, StoreUnavailable, Unavailable
from serverless.aws_events import EventHandler, UnknownEvent
from serverless.buckets import Buckets
from serverless.detection import Detection
from tests.fake_model_server import FakeModelServer
from tests.unit.serverless.conftest import DAMAGED, MODEL, WHITE

QUEUE = "arn:aws:sqs:eu-central-1:123456789012:pictures"


class FakeBuckets(Buckets):
    """Objects in memory: `bucket/key` or `bucket/key version` -> bytes, or the error that reading raises."""

    def __init__(self, **objects: bytes | Exception) -> None:
        super().__init__(max_bytes=1e6)
        self.objects: dict[str, bytes | Exception] = {"pictures/a b.png": WHITE, **objects}

    def read(self, bucket: str, key: str, version: str | None = None) -> bytes:
        name = f"{bucket}/{key}" + (f" {version}" if version else "")
        found = self.objects.get(name, PictureMissing(f"s3://{name} is not there."))
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def buckets() -> FakeBuckets:
    return FakeBuckets()


@pytest.fixture
def events(detection: Detection, buckets: FakeBuckets) -> EventHandler:
    return EventHandler(detection, buckets)


def request_1(data: bytes, media_type: str = "image/png", **query: list[str]) -> dict[str, Any]:
    return {
        "resource": "/{proxy+}",
        "path": "/",
        "httpMethod": "POST",
        "headers": {"Content-Type": media_type},
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "requestContext": {"httpMethod": "POST", "stage": "prod"},
        "body": base64.b64encode(data).decode(),
        "isBase64Encoded": True,
    }


def request_2(data: bytes, media_type: str = "image/png", query: str = "") -> dict[str, Any]:
    return {
        "version": "2.0",
        "rawPath": "/",
        "rawQueryString": query,
        "headers": {"content-type": media_type},
        "requestContext": {"http": {"method": "POST", "path": "/"}},
        "body": base64.b64encode(data).decode(),
        "isBase64Encoded": True,
    }


def put(key: str = "a+b.png", version: str | None = None, name: str = "ObjectCreated:Put") -> dict[str, Any]:
    found = {"key": key, "size": len(WHITE), "sequencer": "0A1B2C3D4E5F678901"}
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": name,
        "s3": {"bucket": {"name": "pictures"}, "object": found | ({"versionId": version} if version else {})},
    }


def message(number: int, body: Any) -> dict[str, Any]:
    text = body if isinstance(body, str) else json.dumps(body)
    return {"messageId": f"message-{number}", "body": text, "eventSource": "aws:sqs", "eventSourceARN": QUEUE}


def messages(*bodies: Any) -> dict[str, Any]:
    return {"Records": [message(number, body) for number, body in enumerate(bodies)]}


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    "event",
    [
        request_1(WHITE, min_score=["0.5"]),
        request_2(WHITE, query="min_score=0.5"),
        request_2(WHITE, query="min_score=0.5") | {"headers": {"Content-Type": "image/png"}},
        {**request_1(b"", "application/json"), "isBase64Encoded": False}
        | {"body": json.dumps({"image_base64": base64.b64encode(WHITE).decode(), "min_score": 0.5})},
    ],
    ids=["1.0", "2.0", "2.0, headers as they were sent", "JSON as text"],
)
def test_http_is_answered_with_the_job(events: EventHandler, event: dict[str, Any]) -> None:
    answer = events(event, None)

    assert (answer["statusCode"], answer["isBase64Encoded"]) == (200, False)
    assert answer["headers"] == {"Content-Type": "application/json"}
    job = json.loads(answer["body"])
    assert (job["status"], job["model"], len(job["detections"])) == ("succeeded", MODEL, 1)


@pytest.mark.parametrize(
    "event",
    [request_1(WHITE, model=["crads"]), request_2(WHITE, query="model=crads")],
    ids=["1.0", "2.0"],
)
def test_http_is_refused_with_a_problem(events: EventHandler, event: dict[str, Any]) -> None:
    answer = events(event, None)

    assert (answer["statusCode"], answer["headers"]["Content-Type"]) == (422, "application/problem+json")
    assert json.loads(answer["body"])["known"] == ["buttons", MODEL]


@pytest.mark.parametrize("event", [request_1(WHITE), request_2(WHITE)], ids=["1.0", "2.0"])
def test_a_compressed_body_is_refused(events: EventHandler, event: dict[str, Any]) -> None:
    event["headers"]["Content-Encoding"] = "gzip"

    answer = events(event, None)

    assert (answer["statusCode"], answer["headers"]["Accept-Encoding"]) == (415, "identity")
    assert json.loads(answer["body"])["code"] == "unsupported_content_encoding"


def test_a_query_with_a_repeated_parameter_is_refused(events: EventHandler) -> None:
    for event in (request_1(WHITE, model=[MODEL, MODEL]), request_2(WHITE, query=f"model={MODEL}&model={MODEL}")):
        assert events(event, None)["statusCode"] == 422


def test_every_object_of_an_event_gets_its_answer(
    events: EventHandler, buckets: FakeBuckets, capsys: pytest.CaptureFixture[str]
) -> None:
    buckets.objects |= {"pictures/ä.png v2": WHITE, "pictures/notes.txt": b"hello"}

    jobs = events({"Records": [put(), put("%C3%A4.png", "v2"), put("notes.txt"), put("gone.png")]}, None)["jobs"]

    assert [job["source"] for job in jobs] == [
        "s3://pictures/a b.png", "s3://pictures/ä.png", "s3://pictures/notes.txt", "s3://pictures/gone.png",
    ]  # fmt: skip
    assert [job["status"] for job in jobs] == ["succeeded", "succeeded", "failed", "failed"]
    assert [job["error"] and job["error"]["code"] for job in jobs[2:]] == ["picture_unknown_format", "picture_missing"]
    # Without a database, these log lines are the only answers.
    assert lines(capsys) == jobs


def test_an_event_of_s3_is_delivered_again_if_an_object_can_not_be_read_now(
    events: EventHandler, buckets: FakeBuckets, capsys: pytest.CaptureFixture[str]
) -> None:
    buckets.objects["pictures/denied.png"] = StoreUnavailable("s3://pictures/denied.png can't be read: Forbidden")

    with pytest.raises(Unavailable, match=r"denied\.png"):
        events({"Records": [put("denied.png"), put()]}, None)

    assert [job["source"] for job in lines(capsys)] == ["s3://pictures/a b.png"]


def test_keys_are_quoted_and_shortened_for_the_database(events: EventHandler) -> None:
    [strange, long] = events({"Records": [put("a%00%0Ab.png"), put("x" * 1024)]}, None)["jobs"]

    assert strange["source"] == "s3://pictures/a%00%0Ab.png"
    assert len(long["source"]) == 1024


GOOD = [
    {"Records": [put()]},
    {"uri": "s3://pictures/a b.png"},
    {"image_base64": base64.b64encode(WHITE).decode(), "model": "buttons", "source": "here"},
]


def test_messages_are_answered(events: EventHandler, capsys: pytest.CaptureFixture[str]) -> None:
    assert events(messages(*GOOD), None) == {"batchItemFailures": []}

    jobs = lines(capsys)
    assert [job["status"] for job in jobs] == ["succeeded"] * 3
    assert [job["source"] for job in jobs] == ["s3://pictures/a b.png", "s3://pictures/a b.png", "here"]


def test_only_messages_that_met_an_outage_are_delivered_again(
    events: EventHandler, buckets: FakeBuckets, capsys: pytest.CaptureFixture[str]
) -> None:
    buckets.objects |= {"pictures/denied.png": StoreUnavailable("Forbidden"), "pictures/damaged.png": DAMAGED}
    event = messages(
        {"uri": "s3://pictures/denied.png"},
        *GOOD,
        {"uri": "s3://pictures/damaged.png"},
        {"uri": "s3://pictures/gone.png"},
        {"Records": [put("denied.png"), put()]},
    )

    failures = events(event, None)["batchItemFailures"]

    assert failures == [{"itemIdentifier": "message-0"}, {"itemIdentifier": "message-6"}]
    assert [job["error"]["code"] for job in lines(capsys) if job["error"]] == ["picture_undecodable", "picture_missing"]


def test_every_message_is_delivered_again_if_the_model_server_is_out(
    events: EventHandler, server: FakeModelServer
) -> None:
    server.stop()

    failures = events(messages(*GOOD), None)["batchItemFailures"]

    assert [failure["itemIdentifier"] for failure in failures] == ["message-0", "message-1", "message-2"]


def test_messages_after_an_outage_of_the_database_are_delivered_again_untried(
    events: EventHandler, buckets: FakeBuckets, capsys: pytest.CaptureFixture[str]
) -> None:
    buckets.objects["pictures/out.png"] = DatabaseUnavailable("It does not answer.")

    failures = events(messages(GOOD[0], {"uri": "s3://pictures/out.png"}, *GOOD), None)["batchItemFailures"]

    assert [failure["itemIdentifier"] for failure in failures] == [f"message-{number}" for number in range(1, 5)]
    assert len(lines(capsys)) == 1


REFUSED = {
    "no JSON": ("picture", "malformed_json"),
    "something else": ({"key": "value"}, "unknown_event"),
    "both": ({"uri": "s3://pictures/a b.png", "image_base64": "AAAA"}, "invalid_parameter"),
    "a file": ({"uri": "file:///etc/hostname"}, "invalid_parameter"),
    "another scheme": ({"uri": "https://pictures/a.png"}, "invalid_parameter"),
    "no key": ({"uri": "s3://pictures"}, "invalid_parameter"),
    "no base64": ({"image_base64": "§"}, "invalid_parameter"),
    "a typo": ({"uri": "s3://pictures/a b.png", "modle": MODEL}, "invalid_parameter"),
    "an unknown model": ({"uri": "s3://pictures/a b.png", "model": "crads"}, "unknown_model"),
    "an object that was deleted": ({"Records": [put(name="ObjectRemoved:Delete")]}, "unknown_event"),
}


@pytest.mark.parametrize(("body", "code"), REFUSED.values(), ids=REFUSED)
def test_a_message_that_is_refused_is_printed_and_not_delivered_again(
    events: EventHandler, capsys: pytest.CaptureFixture[str], body: Any, code: str
) -> None:
    assert events(messages(body, GOOD[0]), None) == {"batchItemFailures": []}

    refused, job = lines(capsys)
    assert (refused["message_id"], refused["problem"]["code"]) == ("message-0", code)
    assert job["status"] == "succeeded"


def test_an_error_of_the_function_affects_only_one_message(
    events: EventHandler, buckets: FakeBuckets, capsys: pytest.CaptureFixture[str]
) -> None:
    buckets.objects["pictures/bug.png"] = RuntimeError("a bug")

    answer = events(messages({"uri": "s3://pictures/bug.png"}, GOOD[0]), None)

    assert answer == {"batchItemFailures": [{"itemIdentifier": "message-0"}]}
    assert [job["status"] for job in lines(capsys)] == ["succeeded"]


def test_the_test_event_of_s3_is_ignored(events: EventHandler) -> None:
    test = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "pictures"}

    assert events(test, None) == {"jobs": []}
    assert events(messages(test), None) == {"batchItemFailures": []}


@pytest.mark.parametrize(
    ("event", "detail"),
    [
        ({"key1": "value1"}, "It has key1"),
        ({}, "It has nothing"),
        ([1], "not a JSON object"),
        ({"Records": [{"eventSource": "aws:kinesis"}]}, "It has Records from"),
        ({"Records": [put(name="ObjectRemoved:Delete")]}, "ObjectRemoved:Delete"),
    ],
)
def test_an_unknown_event_is_refused(events: EventHandler, event: Any, detail: str) -> None:
    with pytest.raises(UnknownEvent, match=detail):
        events(event, None)
