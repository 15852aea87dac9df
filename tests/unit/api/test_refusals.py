"""All refusals: the status, the code, one line in the log, and no change of the service."""

import io
import logging
import struct
import zlib
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.unit.api.conftest import MODEL, encoded, form

ABSENT = "0199c1d2-7c1e-7aa0-8000-0123456789ab"
PNG = encoded()


def png_header(width: int, height: int) -> bytes:
    """The header of a PNG of this size."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + header + struct.pack(">I", 1000) + b"IDAT"


def submit(client: FlaskClient, **fields: Any) -> TestResponse:
    return client.post("/v1/jobs", data={**form((PNG, "card.png")), **fields})


def submit_file(client: FlaskClient, data: bytes, name: str = "card.png") -> TestResponse:
    return client.post("/v1/jobs", data=form((data, name)))


REFUSED = {
    "no file": (lambda c: c.post("/v1/jobs", data={"model": MODEL}), 400, "no_picture"),
    "no body": (lambda c: c.post("/v1/jobs"), 400, "no_picture"),
    "no file chosen in a browser": (lambda c: submit_file(c, b"", ""), 400, "no_picture"),
    "no base64": (lambda c: c.post("/v1/jobs", json={"model": MODEL}), 400, "no_picture"),
    "image as text": (lambda c: c.post("/v1/jobs", data={"model": MODEL, "image": "x"}), 400, "no_picture"),
    "empty file": (lambda c: submit_file(c, b""), 400, "picture_empty"),
    "text named .jpg": (lambda c: submit_file(c, b"hello " * 99, "notes.jpg"), 415, "picture_unknown_format"),
    "30,000 x 30,000 pixels": (lambda c: submit_file(c, png_header(30000, 30000)), 413, "picture_too_large"),
    "a body over the limit": (
        lambda c: c.post("/v1/jobs", data=b"x" * 2_100_000, content_type="multipart/form-data; boundary=b"),
        413,
        "request_too_large",
    ),
    "a file over the limit": (
        lambda c: c.post(
            "/v1/jobs",
            data=b'--b\r\nContent-Disposition: form-data; name=image; filename="a.png"\r\n\r\n'
            + bytes(2_100_000)
            + b"\r\n--b--\r\n",
            content_type="multipart/form-data; boundary=b",
        ),
        413,
        "request_too_large",
    ),
    "too many pictures": (lambda c: c.post("/v1/jobs", data=form(*[(PNG, "a.png")] * 9)), 413, "too_many_pictures"),
    "far too many parts": (
        lambda c: c.post("/v1/jobs", data=form((PNG, "a.png"), source=["x"] * 99)),
        413,
        "request_too_large",
    ),
    "unknown model": (lambda c: submit(c, model="crads"), 422, "unknown_model"),
    "NUL in the model's name": (lambda c: submit(c, model="cards\0"), 400, "control_character"),
    "NUL in a file's name": (lambda c: submit(c, source="a\0.png"), 400, "control_character"),
    "NUL in metadata": (lambda c: submit(c, metadata='{"a": "\\u0000"}'), 400, "control_character"),
    "NUL in a batch's name": (lambda c: c.post("/v1/batches", json={"name": "a\0b"}), 400, "control_character"),
    "NUL in a filter": (lambda c: c.get("/v1/jobs?label=%00"), 400, "control_character"),
    "wrong id": (lambda c: c.get("/v1/jobs/17"), 404, "not_found"),
    "unknown id": (lambda c: c.get(f"/v1/jobs/{ABSENT}"), 404, "not_found"),
    "unknown id, waiting": (lambda c: c.get(f"/v1/jobs/{ABSENT}?wait=5"), 404, "not_found"),
    "picture of an unknown id": (lambda c: c.get(f"/v1/jobs/{ABSENT}/image"), 404, "not_found"),
    "wrong batch": (lambda c: c.get("/v1/batches/x"), 404, "not_found"),
    "unknown batch": (lambda c: c.post(f"/v1/batches/{ABSENT}/close"), 404, "not_found"),
    "results of an unknown batch": (lambda c: c.get(f"/v1/batches/{ABSENT}/results"), 404, "not_found"),
    "jobs of an unknown batch": (lambda c: c.get(f"/v1/jobs?batch={ABSENT}"), 404, "not_found"),
    "pictures for an unknown batch": (
        lambda c: c.post(f"/v1/batches/{ABSENT}/jobs", data=form((PNG, "a.png"))),
        404,
        "not_found",
    ),
    "no such address": (lambda c: c.get("/v1/pictures"), 404, "not_found"),
    "bad cursor": (lambda c: c.get("/v1/jobs?cursor=zzz"), 400, "bad_cursor"),
    "cursor of other characters": (lambda c: c.get("/v1/jobs?cursor=é"), 400, "bad_cursor"),
    "malformed JSON": (
        lambda c: c.post("/v1/jobs", data=b'{"model": ', content_type="application/json"),
        400,
        "malformed_json",
    ),
    "nan in JSON": (
        lambda c: c.post("/v1/jobs", data=b'{"min_score": NaN}', content_type="application/json"),
        400,
        "malformed_json",
    ),
    "JSON too deep": (
        lambda c: c.post("/v1/batches", data=b"[" * 9999, content_type="application/json"),
        400,
        "malformed_json",
    ),
    "JSON that is no object": (lambda c: c.post("/v1/batches", json=[]), 400, "malformed_json"),
    "a form cut off": (
        lambda c: c.post(
            "/v1/jobs", data=b"--b\r\nContent-Disposition: form", content_type="multipart/form-data; boundary=b"
        ),
        400,
        "malformed_form",
    ),
    "a form without boundary": (
        lambda c: c.post("/v1/jobs", data=b"--b--", content_type="multipart/form-data"),
        400,
        "malformed_form",
    ),
    "another body": (lambda c: c.post("/v1/jobs", data=b"x", content_type="text/plain"), 415, "unsupported_media_type"),
    "not base64": (
        lambda c: c.post("/v1/jobs", json={"model": MODEL, "image_base64": "*"}),
        422,
        "invalid_parameter",
    ),
    "text for a number in JSON": (
        lambda c: c.post("/v1/jobs", json={"model": MODEL, "image_base64": "", "priority": "1"}),
        422,
        "invalid_parameter",
    ),
    "min_score=7": (lambda c: submit(c, min_score=7), 422, "invalid_parameter"),
    "min_score=nan": (lambda c: submit(c, min_score="nan"), 422, "invalid_parameter"),
    "max_detections=0": (lambda c: submit(c, max_detections=0), 422, "invalid_parameter"),
    "priority=101": (lambda c: submit(c, priority=101), 422, "invalid_parameter"),
    "metadata that is no object": (lambda c: submit(c, metadata="[1]"), 422, "invalid_parameter"),
    "metadata that is no JSON": (lambda c: submit(c, metadata="{"), 422, "invalid_parameter"),
    "metadata with an endless number": (lambda c: submit(c, metadata='{"a": 1e999}'), 422, "invalid_parameter"),
    "large metadata": (lambda c: submit(c, metadata='{"a": "%s"}' % ("x" * 9000)), 422, "invalid_parameter"),
    "a field given twice": (lambda c: submit(c, min_score=["0.1", "0.2"]), 422, "invalid_parameter"),
    "fewer sources than pictures": (lambda c: submit(c, source=["a", "b"]), 422, "invalid_parameter"),
    "an unknown field": (lambda c: submit(c, min_skore=0.5), 422, "invalid_parameter"),
    "an unknown file": (lambda c: submit(c, picture=(io.BytesIO(PNG), "a.png")), 422, "invalid_parameter"),
    "an unknown member": (lambda c: c.post("/v1/batches", json={"nmae": "x"}), 422, "invalid_parameter"),
    "an unknown parameter": (lambda c: c.get("/v1/jobs?lable=textbox"), 422, "invalid_parameter"),
    "a parameter where there are none": (lambda c: c.get("/v1/models?name=x"), 422, "invalid_parameter"),
    "an unknown status": (lambda c: c.get("/v1/jobs?status=done"), 422, "invalid_parameter"),
    "a wait too long": (lambda c: c.get(f"/v1/jobs/{ABSENT}?wait=61"), 422, "invalid_parameter"),
    "wrong method": (lambda c: c.put("/v1/jobs"), 405, "method_not_allowed"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_invalid_request_is_refused(case: str, client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    send, status, code = REFUSED[case]

    with caplog.at_level(logging.INFO):
        answer = send(client)

    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert answer.mimetype == "application/problem+json"
    assert answer.json["status"] == status
    assert answer.json["detail"]
    assert [record.message.split(" ")[-2:] for record in caplog.records] == [[str(status), code]]
    assert client.get("/v1/jobs").json["jobs"] == []
    assert submit(client).status_code == 202


def test_unknown_model_names_the_known_ones(client: FlaskClient) -> None:
    assert submit(client, model="crads").json["known"] == ["cards", "cards-pytorch"]


def test_invalid_parameters_are_named(client: FlaskClient) -> None:
    faults = submit(client, min_score=7, max_detections="many").json["errors"]

    assert {fault["field"] for fault in faults} == {"min_score", "max_detections"}


def test_a_control_character_names_its_field(client: FlaskClient) -> None:
    answer = submit(client, source="a\0.png").json

    assert answer["field"] == "source.0"
    assert "U+0000" in answer["detail"]


def test_wrong_method_names_the_right_ones(client: FlaskClient) -> None:
    assert {"GET", "POST"} <= set(client.put("/v1/jobs").headers["Allow"].split(", "))


def test_one_bad_picture_of_several_refuses_all_and_is_named(client: FlaskClient) -> None:
    answer = client.post("/v1/jobs", data=form((PNG, "good.png"), (b"", "bad.png")))

    assert (answer.status_code, answer.json["code"]) == (400, "picture_empty")
    assert answer.json["detail"].startswith("bad.png: ")
    assert client.get("/v1/jobs").json["jobs"] == []


def test_clients_cannot_add_lines_to_the_log(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        client.get("/v1/%0aINFO all is well")

    assert len(caplog.records) == 1
    assert "\n" not in caplog.records[0].message


def test_success_is_not_logged(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        client.get("/v1/jobs")

    assert caplog.records == []


def test_a_truncated_picture_is_accepted(client: FlaskClient) -> None:
    whole = encoded("JPEG", (640, 480))

    assert submit_file(client, whole[: len(whole) // 2], "half.jpg").status_code == 202
