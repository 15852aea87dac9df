"""A picture over HTTP, in every form of body, and all refusals. Both are as in the service."""

import base64
import json
from typing import Any

import pytest
from werkzeug import Response as Answer

from api import create_app
from jobs.settings import Settings
from serverless.detection import Detection
from serverless.requests import Request, Response, respond
from tests.fake_model_server import BOX, FakeModelServer, colour_of
from tests.unit.api.document import Document
from tests.unit.api.test_refusals import png_header
from tests.unit.serverless.conftest import DAMAGED, MODEL, WHITE, encoded

FORM = "multipart/form-data; boundary=b"


def form(*files: tuple[str, bytes], **fields: str) -> bytes:
    """Files are (their field, their bytes), each named card.png."""
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()
    ]
    body = "".join(parts).encode()
    for name, data in files:
        head = f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="card.png"\r\n\r\n'
        body += head.encode() + data + b"\r\n"
    return body + b"--b--\r\n"


def as_json(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def post(content_type: str, body: bytes, *query: tuple[str, str], coding: str | None = None) -> Request:
    return Request("POST", content_type, query, body, coding)


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


OPTIONS = (("model", "buttons"), ("min_score", "0.2"), ("metadata", '{"page": 3}'), ("source", "card.png"))
JSON_OPTIONS = {"model": "buttons", "min_score": 0.2, "metadata": {"page": 3}, "source": "card.png"}
WAYS = {
    "as it is": post("image/png", WHITE, *OPTIONS),
    "as it is, without a type": post("application/octet-stream", WHITE, *OPTIONS),
    "as it is, in capitals": post("IMAGE/PNG", WHITE, *OPTIONS),
    "a form": post(FORM, form(("image", WHITE), model="buttons", min_score="0.2", metadata='{"page": 3}')),
    "a form with a query": post(FORM, form(("image", WHITE), metadata='{"page": 3}'), *OPTIONS[:2]),
    "a form in capitals": post(
        "Multipart/Form-Data; Boundary=b",
        form(("image", WHITE), model="buttons", min_score="0.2", metadata='{"page": 3}'),
    ),
    "JSON with a data URL": post(
        "Application/JSON",
        as_json(image_base64=f"data:image/png;base64,{base64_of(WHITE)}", **JSON_OPTIONS),
    ),
    "JSON": post(
        "application/json; charset=utf-8",
        as_json(image_base64=base64_of(WHITE), **JSON_OPTIONS),
    ),
}


@pytest.mark.parametrize("request_", WAYS.values(), ids=WAYS)
def test_every_form_of_body_gets_the_same_answer(detection: Detection, request_: Request) -> None:
    response = respond(detection, request_)

    job = json.loads(response.body)
    assert (response.status, response.headers["Content-Type"]) == (200, "application/json")
    assert (job["status"], job["model"], job["source"]) == ("succeeded", MODEL, "card.png")
    assert (job["metadata"], job["device"], job["links"]) == ({"page": 3}, "remote", None)
    assert (job["image"]["width"], job["image"]["height"]) == (64, 32)
    # The model's box is in pixels of 32 × 32, and this picture is twice as wide as it is high.
    [found] = job["detections"]
    assert (found["label"], found["score"]) == ("button", 0.9)
    assert found["box"] == [2 * edge for edge in (BOX[0], BOX[1], BOX[2], 16.0)]


def test_the_answer_fits_the_openapi_document(detection: Detection) -> None:
    app = create_app(Settings(data=detection.settings.data, catalogue=detection.settings.catalogue))
    document = Document(app.api_doc)
    path = "/v1/jobs/0199c1d2-7c1e-7aa0-8000-0123456789ab"
    links = {"self": path, "image": f"{path}/image", "annotated": f"{path}/annotated"}

    for data in (WHITE, DAMAGED):
        job = json.loads(respond(detection, post("image/png", data)).body)
        answer = Answer(json.dumps(job | {"links": links}), mimetype="application/json")
        document.check("get", "/v1/jobs/{job_id}", answer)
    app.extensions["boxqueue"].db.close()


def test_options_choose_the_detections_that_are_shown(detection: Detection) -> None:
    assert detected(respond(detection, post("image/png", WHITE, ("min_score", "0.95")))) == []
    assert len(detected(respond(detection, post("image/png", WHITE, ("max_detections", "1"))))) == 1


def detected(response: Response) -> Any:
    return json.loads(response.body)["detections"]


@pytest.mark.parametrize(
    ("data", "code"),
    [(DAMAGED, "picture_undecodable"), (encoded(colour_of("NaN")), "detection_failed")],
    ids=["damaged", "the model raises on it"],
)
def test_a_failed_picture_is_a_normal_response(detection: Detection, data: bytes, code: str) -> None:
    response = respond(detection, post("image/png", data))

    job = json.loads(response.body)
    assert response.status == 200
    assert (job["status"], job["detections"], job["error"]["code"]) == ("failed", None, code)
    assert detected(respond(detection, post("image/png", WHITE)))


REFUSED = {
    "a GET": (Request("GET", "", (), b""), 405, "method_not_allowed"),
    "no body": (post("", b""), 400, "no_picture"),
    "no file": (post(FORM, form(model=MODEL)), 400, "no_picture"),
    "no base64": (post("application/json", as_json(model=MODEL)), 400, "no_picture"),
    "an empty picture": (post("image/png", b""), 400, "picture_empty"),
    "text": (post("image/jpeg", b"hello " * 99), 415, "picture_unknown_format"),
    "too many bytes": (post("image/png", bytes(1_000_001)), 413, "picture_too_large"),
    "too many pixels": (post("image/png", png_header(30000, 30000)), 413, "picture_too_large"),
    "a body over the limit": (post("image/png", bytes(64_000_001)), 413, "request_too_large"),
    "two files": (post(FORM, form(("image", WHITE), ("image", WHITE))), 413, "too_many_pictures"),
    "a file of another name": (post(FORM, form(("picture", WHITE))), 422, "invalid_parameter"),
    "a form without a boundary": (post("multipart/form-data", form(("image", WHITE))), 400, "malformed_form"),
    "a form that ends early": (post(FORM, form(("image", WHITE))[:-20]), 400, "malformed_form"),
    "no JSON": (post("application/json", b"{"), 400, "malformed_json"),
    "a list": (post("application/json", b"[]"), 400, "malformed_json"),
    "a data URL without base64": (
        post("application/json", as_json(image_base64="data:image/png,%89PNG")),
        422,
        "invalid_parameter",
    ),
    "a picture of the wrong type": (
        post("application/x-www-form-urlencoded", WHITE),
        415,
        "unsupported_media_type",
    ),
    "a form of texts": (post("application/x-www-form-urlencoded", b"model=buttons"), 400, "no_picture"),
    "gzip": (post("image/png", WHITE, coding="gzip"), 415, "unsupported_content_encoding"),
    "many parts": (post(FORM, form(*[("image", WHITE)] * 99)), 413, "request_too_large"),
    "no picture's type": (post("text/plain", b"hello"), 415, "unsupported_media_type"),
    "an unknown model": (post("image/png", WHITE, ("model", "crads")), 422, "unknown_model"),
    "another runtime's model": (post("image/png", WHITE, ("model", "cards-pytorch")), 422, "unknown_model"),
    "a score over 1": (post("image/png", WHITE, ("min_score", "2")), 422, "invalid_parameter"),
    "a typo": (post("image/png", WHITE, ("min_scores", "0.5")), 422, "invalid_parameter"),
    "twice": (post("image/png", WHITE, ("model", MODEL), ("model", MODEL)), 422, "invalid_parameter"),
    "a query beside JSON": (
        post("application/json", as_json(image_base64=base64_of(WHITE)), ("model", MODEL)),
        422,
        "invalid_parameter",
    ),
    "a number as text in JSON": (
        post("application/json", as_json(image_base64=base64_of(WHITE), min_score="0.5")),
        422,
        "invalid_parameter",
    ),
    "a NUL": (post("image/png", WHITE, ("source", "a\0.png")), 400, "control_character"),
}


@pytest.mark.parametrize(("request_", "status", "code"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_has_a_status_a_code_and_a_message(
    detection: Detection, server: FakeModelServer, request_: Request, status: int, code: str
) -> None:
    response = respond(detection, request_)

    problem = json.loads(response.body)
    assert (response.status, problem["status"], problem["code"]) == (status, status, code)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert problem["type"] == f"urn:boxqueue:problem:{code}"
    assert problem["detail"]
    assert server.answered == 0


def test_a_file_name_arrives_as_it_was_sent(detection: Detection) -> None:
    sent = form(("image", WHITE)).replace(b"card.png", "C:\\scans\\a%22näh.png".encode("latin-1"))

    assert json.loads(respond(detection, post(FORM, sent)).body)["source"] == "C:\\scans\\a%22näh.png"


def test_an_outage_of_the_model_server_is_503(detection: Detection, server: FakeModelServer) -> None:
    server.stop()
    response = respond(detection, post("image/png", WHITE))

    assert (response.status, json.loads(response.body)["code"]) == (503, "server_unreachable")
    assert int(response.headers["Retry-After"]) > 0

    server.start()
    assert detected(respond(detection, post("image/png", WHITE)))


def test_a_model_that_also_fails_for_a_blank_picture_is_503(detection: Detection, server: FakeModelServer) -> None:
    server.fault = "NaN"
    response = respond(detection, post("image/png", WHITE))

    assert (response.status, json.loads(response.body)["code"]) == (503, "detection_failed")
