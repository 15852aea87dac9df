"""The ways to send a picture, and its name."""

import base64
import io

import pytest
from flask.testing import FlaskClient

from tests.unit.api.conftest import MODEL, encoded

PNG = encoded()


@pytest.mark.parametrize("content_type", ["image/png", "IMAGE/PNG", "image/jpeg", "application/octet-stream"])
def test_a_picture_may_be_the_body(client: FlaskClient, content_type: str) -> None:
    address = (
        f"/v1/jobs?model={MODEL}&source=scans/a.png&priority=5&min_score=0.5&metadata=%7B%22page%22%3A3%7D&cache=false"
    )

    answer = client.post(address, data=PNG, content_type=content_type)

    assert answer.status_code == 202
    job = answer.json
    assert (job["image"]["media_type"], job["source"], job["priority"]) == ("image/png", "scans/a.png", 5)
    assert job["metadata"] == {"page": 3}
    assert client.get(job["links"]["image"]).data == PNG


def test_a_picture_as_the_body_may_be_sent_again(client: FlaskClient) -> None:
    sent = [
        client.post(
            f"/v1/jobs?model={MODEL}", data=PNG, content_type="image/png", headers={"Idempotency-Key": "page-3"}
        ).json
        for _ in range(2)
    ]

    assert sent[0]["id"] == sent[1]["id"]


def test_a_picture_as_the_body_may_go_into_a_batch(client: FlaskClient) -> None:
    batch = client.post("/v1/batches", json={}).json

    answer = client.post(f"{batch['links']['self']}/jobs?model={MODEL}", data=PNG, content_type="image/png")

    assert (answer.status_code, len(answer.json["jobs"])) == (202, 1)


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", ""])
def test_a_picture_of_the_wrong_type_is_told_the_right_one(client: FlaskClient, content_type: str) -> None:
    answer = client.post("/v1/jobs", data=PNG, headers={"Content-Type": content_type} if content_type else {})

    assert answer.status_code == 415
    assert "Content-Type: image/png" in answer.json["detail"]


def test_a_compressed_body_is_told_which_encodings_are_taken(client: FlaskClient) -> None:
    answer = client.post("/v1/jobs", data=PNG, content_type="image/png", headers={"Content-Encoding": "gzip"})

    assert (answer.status_code, answer.headers["Accept-Encoding"]) == (415, "identity")
    assert (
        client.post(
            f"/v1/jobs?model={MODEL}", data=PNG, content_type="image/png", headers={"Content-Encoding": "identity"}
        ).status_code
        == 202
    )


@pytest.mark.parametrize(
    "text",
    [
        "data:image/png;base64," + base64.b64encode(PNG).decode(),
        "DATA:image/png;name=a.png;BASE64," + base64.b64encode(PNG).decode(),
        "data:;base64," + base64.b64encode(PNG).decode(),
        base64.encodebytes(PNG).decode(),
        base64.urlsafe_b64encode(PNG).decode().rstrip("="),
    ],
    ids=["data URL", "with parameters", "without a type", "lines", "alphabet of URLs"],
)
def test_the_usual_forms_of_base64_are_read(client: FlaskClient, text: str) -> None:
    answer = client.post("/v1/jobs", json={"model": MODEL, "image_base64": text})

    assert answer.status_code == 202
    assert client.get(answer.json["links"]["image"]).data == PNG


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        (b'filename="card.png"', "card.png"),
        (b"filename=card.png", "card.png"),
        (rb'filename="C:\scans\a.png"', r"C:\scans\a.png"),
        (rb'filename="C:\\scans\\a.png"', r"C:\scans\a.png"),
        (rb'filename="\"quoted\".png"', '"quoted".png'),
        (b'filename="100%22.png"', "100%22.png"),
        (b'filename="a;b.png"', "a;b.png"),
        ('filename="karte-ä.png"'.encode(), "karte-ä.png"),
        ('filename="karte-ä.png"'.encode("latin-1"), "karte-ä.png"),
        (b"filename=\"x.png\"; filename*=UTF-8''karte-%C3%A4.png", "karte-ä.png"),
        (b'filename="a\tb.png"', "a\ufffdb.png"),
        (b'filename="/scans/a.png"', "/scans/a.png"),
        (b'filename="' + b"x" * 2000 + b'"', "x" * 1024),
    ],
)
def test_a_file_name_arrives_as_it_was_sent_and_refuses_no_picture(
    client: FlaskClient, disposition: bytes, name: str
) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\ncards-pytorch\r\n'
        b'--b\r\nContent-Disposition: form-data; name="image"; ' + disposition + b"\r\n\r\n" + PNG + b"\r\n--b--\r\n"
    )

    answer = client.post("/v1/jobs", data=io.BytesIO(body), content_type="multipart/form-data; boundary=b")

    assert answer.status_code == 202, answer.json
    assert answer.json["source"] == name
