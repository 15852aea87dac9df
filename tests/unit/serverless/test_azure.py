"""The custom handler of Azure Functions, with the requests of its host. `Detection` is a fake that records its calls.

tests/isolation/test_azure.py tests the handler with the real one, in its own processes.
"""

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

import serverless.azure_functions.handler
from cli.address import free_port
from detectors.errors import UnknownModel
from jobs.errors import DatabaseUnavailable
from jobs.settings import PREFIX, ROOT, Settings
from serverless.azure_functions.handler import Handler
from tests.functions_host import FunctionsHost, InvocationFailed, functions, settings

PICTURE = b"\x89PNG the bytes of a picture"
TEXT = base64.b64encode(PICTURE).decode()
URI = "https://account.blob.core.windows.net/boxqueue-pictures/card.png"
HELD_SECONDS = 0.3


class Detection:
    """Records its calls. Returns a fixed answer, or raises `error`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.calls: list[dict[str, Any]] = []
        self.error: Exception | None = None
        self.changes: dict[str, Any] = {}

    def answer(self, data: bytes, **arguments: Any) -> dict[str, Any]:
        self.calls.append({"data": data, **{name: value for name, value in arguments.items() if value is not None}})
        if self.error:
            raise self.error
        found = [{"label": "textbox", "class_id": 0, "score": 0.97, "box": [1.0, 2.0, 3.0, 4.0]}]
        source = arguments.get("source")
        succeeded = {"id": "0199", "status": "succeeded", "source": source, "detections": found, "error": None}
        return succeeded | self.changes


@pytest.fixture
def detection(tmp_path: Path) -> Detection:
    return Detection(Settings(data=tmp_path, max_request_mb=0.5))


@pytest.fixture
def host(detection: Detection) -> FunctionsHost:
    handler = Handler(detection, outage_seconds=HELD_SECONDS)  # type: ignore[arg-type]

    def served(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        # As gunicorn does for a body without a length.
        return handler(environ | {"wsgi.input_terminated": True}, start_response)

    return FunctionsHost(httpx.Client(transport=httpx.WSGITransport(served), base_url="http://127.0.0.1"))


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The delays of responses in seconds. The test does not wait for them."""
    seconds: list[float] = []
    monkeypatch.setattr(serverless.azure_functions.handler, "time", SimpleNamespace(sleep=seconds.append))
    return seconds


# ------------------------------------------------------------------------------------------------------------ HTTP


def test_a_request_is_answered(host: FunctionsHost, detection: Detection) -> None:
    response = host.http("detect", PICTURE, headers={"Content-Type": "image/png"}, model="cards", source="a.png")

    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")
    assert response.json()["status"] == "succeeded"
    # The key of the function, which is in the address too, is not passed on.
    assert detection.calls == [{"data": PICTURE, "model": "cards", "source": "a.png"}]


@pytest.mark.parametrize(
    ("body", "query", "status", "code"),
    [
        (PICTURE, {"modle": "cards"}, 422, "invalid_parameter"),
        (PICTURE, {"source": "a\x00b"}, 400, "control_character"),
        (bytes(600_000), {}, 413, "request_too_large"),
    ],
)
def test_a_request_is_refused_as_the_service_refuses_it(
    host: FunctionsHost, detection: Detection, body: bytes, query: dict[str, str], status: int, code: str
) -> None:
    response = host.http("detect", body, headers={"Content-Type": "image/png"}, **query)

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert detection.calls == []


def test_a_compressed_body_is_refused(host: FunctionsHost, detection: Detection) -> None:
    response = host.http("detect", PICTURE, headers={"Content-Type": "image/png", "Content-Encoding": "gzip"})

    assert (response.status_code, response.json()["code"]) == (415, "unsupported_content_encoding")
    assert detection.calls == []


def test_a_body_that_is_cut_off_is_refused(host: FunctionsHost, detection: Detection) -> None:
    headers = {"Content-Type": "image/png", "Content-Length": str(len(PICTURE) + 1)}

    response = host.http("detect", PICTURE, headers=headers)

    assert (response.status_code, response.json()["code"]) == (400, "incomplete_body")
    assert detection.calls == []


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (UnknownModel("crads", ["cards-pytorch"]), 422, "unknown_model"),
        (DatabaseUnavailable("It does not answer."), 503, "database_unavailable"),
        (RuntimeError("a secret of the function"), 500, "internal_error"),
    ],
)
def test_an_error_has_its_status(
    host: FunctionsHost, detection: Detection, held: list[float], error: Exception, status: int, code: str
) -> None:
    detection.error = error

    response = host.http("detect", PICTURE, headers={"Content-Type": "image/png"})

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert ("Retry-After" in response.headers) == (status == 503)
    assert "secret" not in response.text
    # A client waits by itself, so the response is not delayed.
    assert held == []


# -------------------------------------------------------------------------------------------------- blobs, messages


def test_every_folder_is_a_function(host: FunctionsHost) -> None:
    assert functions().keys() == {"detect", "blob", "queue"}
    assert host.blob("blob", URI, "card.png", PICTURE).outputs.keys() == {"boxqueue-answers/card.png.json"}
    assert host.message("queue", {"image_base64": TEXT}, "m-1").outputs.keys() == {"boxqueue-answers/m-1.json"}


def test_a_blob_becomes_a_document_and_a_log_line(host: FunctionsHost, detection: Detection) -> None:
    returned = host.blob("blob", f"{URI}?sig=secret", "card.png", PICTURE)

    [content] = returned.outputs.values()
    assert json.loads(content)["source"] == URI
    assert returned.logs == [f"{URI}: succeeded, 1 detections"]
    [call] = detection.calls
    assert (call["data"], call["source"]) == (PICTURE, URI)


def test_a_cancelled_job_is_a_normal_response(host: FunctionsHost, detection: Detection) -> None:
    detection.changes = {"status": "cancelled", "detections": None}

    returned = host.blob("blob", URI, "card.png", PICTURE)

    assert returned.logs == [f"{URI}: cancelled"]


def test_a_repeated_event_keeps_its_name(host: FunctionsHost, detection: Detection) -> None:
    for content in (PICTURE, PICTURE, b"another"):
        host.blob("blob", URI, "card.png", content)
    for message_id in ("m-1", "m-1", "m-2"):
        host.message("queue", {"image_base64": TEXT}, message_id)

    first, again, written_over, message, message_again, other = (call["event"] for call in detection.calls)
    assert (again, message_again) == (first, message)
    assert len({first, written_over, message, other}) == 4


def test_a_message_has_the_options_of_a_request(host: FunctionsHost, detection: Detection) -> None:
    wanted = {"model": "cards", "min_score": 0.4, "max_detections": 5, "metadata": {"page": 3}, "source": "a.png"}

    host.message("queue", {"image_base64": TEXT, **wanted}, "m-1")

    [call] = detection.calls
    assert call == {"data": PICTURE, "event": call["event"], **wanted}


def test_the_example_message_of_the_documentation_is_valid(host: FunctionsHost, detection: Detection) -> None:
    # Text as it is, numbers as numbers.
    body = {
        "Data": {"message": json.dumps({"image_base64": TEXT})},
        "Metadata": {"DequeueCount": 1, "Id": "800ae4b3-bdd2-4c08-badd-f08e5a34b865", "sys": {"MethodName": "queue"}},
    }

    response = host.post("queue", json.dumps(body).encode())

    assert response.status_code == 200
    [call] = detection.calls
    assert call["data"] == PICTURE


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({}, "invalid_parameter"),
        ({"image_base64": TEXT, "uri": "https://example.org/a.png"}, "invalid_parameter"),
        ({"image_base64": TEXT, "modle": "cards"}, "invalid_parameter"),
        ({"image_base64": "?"}, "invalid_parameter"),
        ({"uri": "file:///etc/passwd"}, "invalid_parameter"),
        ({"uri": "/etc/passwd"}, "invalid_parameter"),
        ({"uri": "http://example.org/::file:///etc/passwd"}, "invalid_parameter"),
        ("words", "malformed_json"),
        ([], "malformed_json"),
    ],
)
def test_the_refusal_of_a_message_is_stored(host: FunctionsHost, detection: Detection, message: Any, code: str) -> None:
    returned = host.message("queue", message, "m-1")

    [content] = returned.outputs.values()
    assert (json.loads(content)["code"], json.loads(content)["status"] >= 400) == (code, True)
    assert returned.logs[0].startswith(f"message m-1: {code}, ")
    assert detection.calls == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_json"),
        (b"[]", 400, "malformed_json"),
        (b"{}", 400, "malformed_json"),
        (b'{"Data": {}, "Metadata": {}}', 400, "malformed_json"),
        (bytes(600_000), 413, "request_too_large"),
    ],
)
def test_a_malformed_invocation_is_refused(host: FunctionsHost, body: bytes, status: int, code: str) -> None:
    for function in ("blob", "queue"):
        response = host.post(function, body)

        assert (response.status_code, response.json()["code"]) == (status, code)
    assert host.post("blub", b"{}").status_code == 404


def test_the_host_retries_after_an_outage(host: FunctionsHost, detection: Detection, held: list[float]) -> None:
    detection.error = DatabaseUnavailable("It does not answer.")

    with pytest.raises(InvocationFailed) as message:
        host.message("queue", {"image_base64": TEXT}, "m-1")
    held_a_message = list(held)
    with pytest.raises(InvocationFailed) as blob:
        host.blob("blob", URI, "card.png", PICTURE)

    assert (message.value.status, blob.value.status) == (503, 503)
    # The host waits between the tries of a message, but not between those of a blob.
    assert settings()["extensions"]["queues"]["visibilityTimeout"] >= "00:01:00"
    assert (held_a_message, held) == ([], [HELD_SECONDS])


# ---------------------------------------------------------------------------------------------------------- starting


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({}, "FUNCTIONS_CUSTOMHANDLER_PORT: the Functions host sets it; to start by hand, set it to a free port."),
        (
            {"FUNCTIONS_CUSTOMHANDLER_PORT": "8080", f"{PREFIX}THREADS": "0"},
            f"{PREFIX}THREADS: must be auto or at least 1",
        ),
    ],
)
def test_a_wrong_setting_stops_the_start_with_an_error_message(environment: dict[str, str], sentence: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "serverless.azure_functions"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (2, f"{sentence}\n")


def test_a_target_that_cannot_be_served_ends_the_process_with_an_error_message(tmp_path: Path) -> None:
    environment = {
        "FUNCTIONS_CUSTOMHANDLER_PORT": str(free_port("127.0.0.1")),
        "TARGET_API": "pytroch",
        f"{PREFIX}DATA": str(tmp_path),
    }

    done = subprocess.run(
        [sys.executable, "-m", "serverless.azure_functions"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip

    assert done.returncode != 0
    assert done.stderr.startswith("TARGET_API: 'pytroch' is none of pytorch, ")
    assert "Traceback" not in done.stderr
