"""What clients send: the picture as the body, data URLs, file names, and types and codings that are wrong."""

import base64
import gzip
import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.service import Service
from tests.unit.api.conftest import MODEL, encoded, form

PNG = encoded()
# Its base64 needs padding, and has both characters that the URL-safe alphabet replaces.
BMP = encoded("BMP", (10, 10), "#fbefbe")
TEXT = base64.b64encode(BMP).decode()


def post_picture(client: FlaskClient, query: str = f"model={MODEL}", **options: Any) -> TestResponse:
    return client.post(f"/v1/jobs?{query}", **{"data": PNG, "content_type": "image/png", **options})


@pytest.mark.parametrize(
    "content_type",
    ["image/png", "IMAGE/PNG", "image/jpeg", "image/*", "image/png; charset=binary", "application/octet-stream"],
)
def test_the_picture_may_be_the_body(client: FlaskClient, service: Service, content_type: str) -> None:
    options = 'min_score=0.2&max_detections=3&priority=7&cache=false&source=scans/a%20b.png&metadata={"page": 3}'

    answer = post_picture(client, f"model=cards&{options}", content_type=content_type)

    job = answer.json
    assert (answer.status_code, answer.headers["Location"]) == (202, job["links"]["self"])
    assert (job["model"], job["source"], job["priority"]) == (MODEL, "scans/a b.png", 7)
    assert (job["metadata"], job["image"]["media_type"]) == ({"page": 3}, "image/png")
    assert service.store.get(job["image"]["sha256"]) == PNG


def test_a_key_makes_a_picture_as_the_body_safe_to_repeat(client: FlaskClient) -> None:
    headers = {"Idempotency-Key": "k", "Prefer": "wait=0"}

    first, again = (post_picture(client, headers=headers) for _ in range(2))
    other = post_picture(client, f"model={MODEL}&priority=1", headers=headers)

    assert first.json["id"] == again.json["id"]
    assert (other.status_code, other.json["code"]) == (422, "idempotency_key_reused")


def test_a_picture_as_the_body_goes_into_a_batch(client: FlaskClient) -> None:
    batch = client.post("/v1/batches", json={"name": "May"}).json["links"]

    answers = [
        client.post(f"{batch['jobs']}?model={MODEL}", data=data, content_type="image/png") for data in (PNG, b"text")
    ]

    assert [answer.json["jobs"][0]["status"] for answer in answers] == ["queued", "failed"]
    assert client.get(batch["self"]).json["total"] == 2


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 422, "invalid_parameter"),
        ("model=crads", 422, "unknown_model"),
        (f"model={MODEL}&min_skore=1", 422, "invalid_parameter"),
        (f"model={MODEL}&min_score=7", 422, "invalid_parameter"),
        (f"model={MODEL}&model={MODEL}", 422, "invalid_parameter"),
        (f"model={MODEL}&metadata=%7B", 422, "invalid_parameter"),
        (f"model={MODEL}&source=a%00", 400, "control_character"),
    ],
)
def test_wrong_options_of_a_picture_as_the_body_are_refused(
    client: FlaskClient, query: str, status: int, code: str
) -> None:
    answer = post_picture(client, query)

    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert client.get("/v1/jobs").json["jobs"] == []


def test_an_empty_body_that_should_be_a_picture_is_refused(client: FlaskClient) -> None:
    answer = post_picture(client, data=b"")

    assert (answer.status_code, answer.json["code"]) == (400, "picture_empty")


@pytest.mark.parametrize("body", [{"data": form((PNG, "a.png"))}, {"json": {"model": MODEL, "image_base64": TEXT}}])
def test_options_in_the_query_beside_a_form_or_json_are_refused(client: FlaskClient, body: dict[str, Any]) -> None:
    answer = client.post("/v1/jobs?min_score=0.5", **body)

    assert (answer.status_code, answer.json["code"]) == (422, "invalid_parameter")
    assert "Send it " in answer.json["detail"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"data:image/png;base64,{TEXT}", id="a data URL"),
        pytest.param(f"data:image/jpeg;name=a.jpg;charset=utf-8;base64,{TEXT}", id="with parameters"),
        pytest.param(f" DATA:;BASE64,{TEXT}\n", id="without a type, in capitals"),
        pytest.param(
            f"data:image/png;base64,{TEXT.replace('+', '%2B').replace('/', '%2F').replace('=', '%3D')}", id="%"
        ),
        pytest.param(base64.encodebytes(BMP).decode(), id="line breaks"),
        pytest.param(TEXT.rstrip("="), id="without padding"),
        pytest.param(base64.urlsafe_b64encode(BMP).decode().rstrip("="), id="the URL-safe alphabet"),
    ],
)
def test_base64_is_read_in_all_its_forms(client: FlaskClient, service: Service, text: str) -> None:
    answer = client.post("/v1/jobs", json={"model": MODEL, "image_base64": text})

    assert answer.status_code == 202
    assert service.store.get(answer.json["image"]["sha256"]) == BMP


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("data:image/png,%89PNG", "data URL without base64"),
        ("data:image/png;base64", "data URL without base64"),
        ("b'iVBORw0'", '"\'"'),
        ("https://example.org/a.png", "':'"),
        ("iVBORw0=iVBO", "padding"),
        ("iVBOR", "1 more than a multiple of 4"),
    ],
)
def test_what_is_no_base64_is_refused_with_the_reason(client: FlaskClient, text: str, hint: str) -> None:
    answer = client.post("/v1/jobs", json={"model": MODEL, "image_base64": text})

    assert (answer.status_code, answer.json["code"]) == (422, "invalid_parameter")
    assert [fault["field"] for fault in answer.json["errors"]] == ["image_base64"]
    assert hint in answer.json["detail"]


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "deflate", "br", "zstd", "gzip, identity", "nonsense"])
@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        (f"/v1/jobs?model={MODEL}", "image/png"),
        ("/v1/jobs", "multipart/form-data; boundary=b"),
        ("/v1/jobs", "application/json"),
        ("/v1/jobs", "text/plain"),
        ("/v1/batches", "application/json"),
    ],
)
def test_a_compressed_body_is_refused(client: FlaskClient, path: str, content_type: str, coding: str) -> None:
    answer = client.post(path, data=gzip.compress(PNG), content_type=content_type, headers={"Content-Encoding": coding})

    assert (answer.status_code, answer.json["code"]) == (415, "unsupported_content_encoding")
    assert answer.headers["Accept-Encoding"] == "identity"


def test_the_coding_identity_changes_nothing(client: FlaskClient) -> None:
    assert post_picture(client, headers={"Content-Encoding": "identity"}).status_code == 202


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code", "hint"),
    [
        # What `curl --data-binary @card.png` sends.
        (PNG, "application/x-www-form-urlencoded", 415, "unsupported_media_type", "Content-Type: image/png"),
        (PNG, None, 415, "unsupported_media_type", "Content-Type: image/png"),
        (encoded("JPEG"), "text/plain", 415, "unsupported_media_type", "Content-Type: image/jpeg"),
        (b"model=cards", "application/x-www-form-urlencoded", 400, "no_picture", "a file named image"),
        (b"", None, 400, "no_picture", "a file named image"),
        (b"", "text/plain", 400, "no_picture", "a file named image"),
        (b"hello", "text/plain", 415, "unsupported_media_type", "multipart/form-data"),
        (b"hello", None, 415, "unsupported_media_type", "multipart/form-data"),
        (b"--b--", "multipart/form-data", 400, "malformed_form", "no boundary"),
        (b"--b--", "multipart/form-data; boundary=", 400, "malformed_form", "no boundary"),
        (b"--b--", "multipart/form-data; boundary=c", 400, "malformed_form", "is not in it"),
        (b"--b\r\nContent-Disposition: form-data", "multipart/form-data; boundary=b", 400, "malformed_form", "ends"),
        (b"--b\r\nX: y\r\n\r\n\r\n--b--", "multipart/form-data; boundary=b", 400, "malformed_form", "Disposition"),
        (
            b"--b\r\nContent-Disposition: attachment\r\n\r\n\r\n--b--",
            "multipart/form-data; boundary=b",
            400,
            "malformed_form",
            "no name",
        ),
        ('{"model": "é"}'.encode("latin-1"), "application/json; charset=iso-8859-1", 400, "malformed_json", "UTF-8"),
    ],
)
def test_a_body_of_the_wrong_type_gets_a_hint(
    client: FlaskClient, body: bytes, content_type: str | None, status: int, code: str, hint: str
) -> None:
    answer = client.post("/v1/jobs", data=body, content_type=content_type)

    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert hint in answer.json["detail"]


def test_json_may_begin_with_a_byte_order_mark(client: FlaskClient) -> None:
    document = json.dumps({"model": MODEL, "image_base64": TEXT}).encode("utf-8-sig")

    assert client.post("/v1/jobs", data=document, content_type="Application/JSON; Charset=UTF-8").status_code == 202


def post_form(client: FlaskClient, disposition: bytes, *more: bytes, headers: bytes = b"") -> TestResponse:
    """A form with one file, whose header Content-Disposition is `form-data; name="image"; …`, and further parts."""
    parts = (
        b'form-data; name="model"\r\n\r\n' + MODEL.encode(),
        b'form-data; name="image"; ' + disposition + b"\r\n" + headers + b"\r\n" + PNG,
        *more,
    )
    body = b"".join(b"--b\r\nContent-Disposition: " + part + b"\r\n" for part in parts) + b"--b--\r\n"
    return client.post("/v1/jobs", data=body, content_type="Multipart/Form-Data; Boundary=b")


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        # Browsers and curl send backslashes as they are; httpx, Go and older versions of curl double them.
        pytest.param(rb'filename="C:\scans\a.png"', r"C:\scans\a.png", id="backslashes"),
        pytest.param(rb'filename="C:\\scans\\a.png"', r"C:\scans\a.png", id="escaped backslashes"),
        pytest.param(rb'filename="\\server\scans\a.png"', r"\\server\scans\a.png", id="a share of Windows"),
        pytest.param(rb'filename="\\\\server\\scans\\a.png"', r"\\server\scans\a.png", id="an escaped share"),
        pytest.param(b'filename="C:\\scans\\"', "C:\\scans\\", id="a backslash at the end"),
        pytest.param(rb'filename="a\"b.png"', 'a"b.png', id="an escaped quote"),
        pytest.param(b'filename="a"b.png"', 'a"b.png', id="a quote as it is"),
        pytest.param(b'filename="100%22.png"', "100%22.png", id="%22"),
        pytest.param(b'filename="a%0D%0A%2F%.png"', "a%0D%0A%2F%.png", id="per cents"),
        pytest.param(b'filename="a;b=c, d.png"', "a;b=c, d.png", id="semicolons"),
        pytest.param(b'filename="/scans/a.png"', "/scans/a.png", id="a slash at the start"),
        pytest.param(b'filename="../../etc/passwd"', "../../etc/passwd", id="a path upwards"),
        pytest.param('filename="näh 文 😀.png"'.encode(), "näh 文 😀.png", id="UTF-8"),
        pytest.param('filename="näh.png"'.encode("latin-1"), "näh.png", id="Latin-1"),
        pytest.param('filename="5 € “a”.png"'.encode("cp1252"), "5 € “a”.png", id="Windows-1252"),
        pytest.param('filename="写真.png"'.encode("shift-jis"), "ŽÊ\ufffd^.png", id="another encoding"),
        pytest.param(b"filename*=UTF-8''n%C3%A4h.png", "näh.png", id="RFC 5987"),
        pytest.param(b"filename=\"nah.png\"; filename*=utf-8'de'n%C3%A4h.png", "näh.png", id="both, as .NET"),
        pytest.param(b"filename*=iso-8859-1''n%E4h.png; filename=nah.png", "näh.png", id="RFC 5987 in Latin-1"),
        pytest.param(b"filename=my card.png", "my card.png", id="without quotes"),
        pytest.param(b'FileName = "a.png" ; size=3', "a.png", id="spaces and capitals"),
        pytest.param(b'filename="a\0\x1b\xc2\x85.png"', "a\ufffd\ufffd\ufffd.png", id="control characters"),
        pytest.param(b'filename="' + b"x" * 2000 + b'.png"', "x" * 1020 + ".png", id="2,000 characters"),
        pytest.param(b'filename=""', "image", id="no name"),
        pytest.param(b'filename="a.png', "image", id="no closing quote"),
    ],
)
def test_a_file_name_arrives_as_it_was_sent(client: FlaskClient, disposition: bytes, name: str) -> None:
    answer = post_form(client, disposition)

    assert (answer.status_code, answer.json["source"]) == (202, name)


def test_a_source_arrives_as_it_was_sent(client: FlaskClient) -> None:
    for source in ('C:\\scans\\"a%22"', "/a/b.png", "s3://a/b;c", " x ", "näh"):
        part = b'form-data; name="source"\r\n\r\n' + source.encode()
        assert post_form(client, b'filename="a.png"', part).json["source"] == source


def test_a_text_in_latin_1_is_read(client: FlaskClient) -> None:
    part = 'form-data; name="source"\r\n\r\nnäh.png'.encode("latin-1")

    assert post_form(client, b'filename="a.png"', part).json["source"] == "näh.png"


def test_a_file_in_base64_is_refused(client: FlaskClient) -> None:
    answer = post_form(client, b'filename="a.png"', headers=b"Content-Transfer-Encoding: base64\r\n")

    assert (answer.status_code, answer.json["code"]) == (415, "unsupported_content_encoding")


@pytest.mark.parametrize(
    "more",
    [[b'form-data; name="metadata"\r\n\r\n' + b" " * 300_000], [b'form-data; name="x"\r\n\r\n'] * 99],
    ids=["a long text", "many parts"],
)
def test_a_form_that_is_too_large_is_refused(client: FlaskClient, more: list[bytes]) -> None:
    answer = post_form(client, b'filename="a.png"', *more)

    assert (answer.status_code, answer.json["code"]) == (413, "request_too_large")


@pytest.mark.parametrize("route", ["image", "annotated"])
@pytest.mark.parametrize(
    "header", ["{etag}", "W/{etag}", 'W/"other", W/{etag}', '"other", {etag}', "*", " {etag} "], ids=str
)
def test_a_picture_that_the_client_has_is_not_sent_again(
    client: FlaskClient, work: Any, route: str, header: str
) -> None:
    job = client.post("/v1/jobs", data=form((PNG, "a.png"))).json
    work()
    etag = client.get(job["links"][route]).headers["ETag"]

    answer = client.get(job["links"][route], headers={"If-None-Match": header.format(etag=etag)})

    assert (answer.status_code, answer.data, answer.headers["ETag"]) == (304, b"", etag)


@pytest.mark.parametrize("header", ['"other"', 'W/"other"', '"', ""])
def test_a_picture_that_the_client_does_not_have_is_sent(client: FlaskClient, header: str) -> None:
    job = client.post("/v1/jobs", data=form((PNG, "a.png"))).json

    assert client.get(job["links"]["image"], headers={"If-None-Match": header}).data == PNG
