"""Submitting, showing, listing and cancelling jobs."""

import base64
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from api.drawing_pool import DrawingPool
from api.service import Service
from detectors.errors import PictureTooCostly, PictureUndecodable
from jobs.annotated_pictures import AnnotatedPictures
from jobs.errors import DrawingBusy, StoreUnavailable
from jobs.settings import Settings
from jobs.tables import IdempotencyKey
from tests import catalogues
from tests.unit.api.conftest import CATALOGUE, MODEL, encoded, form

Work = Callable[..., list[str]]


def test_a_picture_becomes_a_job(client: FlaskClient, service: Service) -> None:
    answer = client.post("/v1/jobs", data=form((encoded(), "card.png"), metadata='{"page": 3}', priority=5))

    job = answer.json
    assert answer.status_code == 202
    assert answer.headers["Location"] == job["links"]["self"] == f"/v1/jobs/{job['id']}"
    assert answer.headers["Retry-After"] == "1"
    assert (job["status"], job["model"], job["source"]) == ("queued", MODEL, "card.png")
    assert (job["detections"], job["error"], job["metadata"], job["priority"]) == (None, None, {"page": 3}, 5)
    assert job["image"] | {"sha256": ""} == {"sha256": "", "media_type": "image/png", "width": 160, "height": 90}
    assert service.store.get(job["image"]["sha256"]) == encoded()


def test_a_base64_picture_in_json_becomes_a_job(client: FlaskClient) -> None:
    # With line breaks, as the command `base64` writes it.
    text = base64.encodebytes(encoded()).decode()

    answer = client.post(
        "/v1/jobs", json={"model": "cards", "image_base64": text, "source": "s3://a/b.png", "cache": False}
    )

    assert answer.status_code == 202
    assert (answer.json["source"], answer.json["model"]) == ("s3://a/b.png", MODEL)


def test_several_pictures_become_several_jobs_in_order(client: FlaskClient) -> None:
    files = [(encoded(size=(width, 20)), f"{width}.png") for width in (30, 10, 20)]

    answer = client.post("/v1/jobs", data=form(*files))

    assert answer.status_code == 202
    assert [(job["source"], job["image"]["width"]) for job in answer.json["jobs"]] == [
        ("30.png", 30),
        ("10.png", 10),
        ("20.png", 20),
    ]


def test_sources_may_be_sent_with_the_files(client: FlaskClient) -> None:
    answer = client.post("/v1/jobs", data=form((encoded(), "a.png"), (encoded(), "b.png"), source=["x/a", "x/b"]))

    assert [job["source"] for job in answer.json["jobs"]] == ["x/a", "x/b"]


def test_a_finished_job_shows_its_detections(client: FlaskClient, work: Work) -> None:
    submitted = client.post("/v1/jobs", data=form((encoded(), "card.png"))).json
    work()

    job = client.get(submitted["links"]["self"]).json

    assert (job["status"], job["device"], job["timings_ms"]["inference"]) == ("succeeded", "cpu", 1.5)
    assert job["detections"][0] == {
        "label": "textbox",
        "class_id": 0,
        "score": 0.9712,
        "box": [21.0, 29.25, 135.12, 57.0],
    }
    assert [found["score"] for found in job["detections"]] == [0.9712, 0.4, 0.1]
    assert job["created_at"].endswith("Z")
    assert job["finished_at"].endswith("Z")


def test_options_apply_when_the_answer_is_read(client: FlaskClient, work: Work) -> None:
    submitted = client.post("/v1/jobs", data=form((encoded(), "card.png"), min_score=0.2, max_detections=1)).json
    work()
    path = submitted["links"]["self"]

    assert [found["score"] for found in client.get(path).json["detections"]] == [0.9712]
    assert client.get(f"{path}?min_score=0.99").json["detections"] == []


def test_a_failed_job_has_an_error_and_no_detections(client: FlaskClient, work: Work) -> None:
    submitted = client.post("/v1/jobs", data=form((encoded(), "card.png"))).json
    work(error="picture_undecodable")

    job = client.get(submitted["links"]["self"]).json

    assert (job["status"], job["detections"]) == ("failed", None)
    assert job["error"] == {"code": "picture_undecodable", "message": "It is damaged."}


def test_a_repeated_picture_is_answered_at_once(client: FlaskClient, work: Work) -> None:
    client.post("/v1/jobs", data=form((encoded(), "card.png")))
    work()

    answer = client.post("/v1/jobs", data=form((encoded(), "again.png")))

    assert answer.status_code == 200
    assert "Retry-After" not in answer.headers
    assert (answer.json["status"], answer.json["repeated"], answer.json["source"]) == ("succeeded", True, "again.png")
    assert len(answer.json["detections"]) == 3
    assert client.post("/v1/jobs", data=form((encoded(), "card.png"), cache="false")).status_code == 202


@pytest.mark.parametrize("version", [None, "3"])
def test_answers_of_a_model_server_are_reused_only_if_its_version_is_named(
    client: FlaskClient, settings: Settings, work: Work, version: str | None
) -> None:
    (catalogue,) = settings.catalogue
    named = {"version": version} if version else {}
    distant = catalogues.server_entry("http://127.0.0.1:9", server=named, labels=["textbox", "radiobutton"])
    catalogues.write(catalogue, CATALOGUE | {"distant": distant})
    os.utime(catalogue, (1e9, 1e9))
    client.post("/v1/jobs", data=form((encoded(), "card.png"), model="distant"))
    work(model="distant")

    again = client.post("/v1/jobs", data=form((encoded(), "again.png"), model="distant"))

    assert again.json["repeated"] is (version is not None)
    assert again.status_code == (200 if version else 202)


def test_idempotency_key_gives_the_same_job(client: FlaskClient) -> None:
    def post(**fields: object) -> tuple[int, str]:
        answer = client.post("/v1/jobs", data=form((encoded(), "a.png"), **fields), headers={"Idempotency-Key": "k"})
        return answer.status_code, answer.json.get("id") or answer.json["code"]

    first = post()

    assert first[0] == 202
    assert post() == first
    assert post(min_score=0.5) == (422, "idempotency_key_reused")
    assert len(client.get("/v1/jobs").json["jobs"]) == 1


def test_a_request_whose_key_is_in_flight_gets_retry_after(client: FlaskClient, service: Service) -> None:
    files, headers = (encoded(), "a.png"), {"Idempotency-Key": "k"}
    client.post("/v1/jobs", data=form(files), headers=headers)
    with service.db.write() as connection:
        # The state while the first request is in flight.
        connection.execute(sa.update(IdempotencyKey).values(job_ids=sa.null()))

    answer = client.post("/v1/jobs", data=form(files), headers=headers)

    assert (answer.status_code, answer.json["code"]) == (409, "idempotency_key_in_flight")
    assert answer.headers["Retry-After"]


def test_the_key_of_a_failed_request_can_be_used_again(client: FlaskClient, service: Service) -> None:
    folder = Path(service.settings.data / "images")
    folder.rmdir()
    headers = {"Idempotency-Key": "k"}
    assert client.post("/v1/jobs", data=form((encoded(), "a.png")), headers=headers).status_code == 503
    folder.mkdir()

    assert client.post("/v1/jobs", data=form((encoded(), "a.png")), headers=headers).status_code == 202


def test_an_outage_of_the_store_is_503(client: FlaskClient, service: Service) -> None:
    Path(service.settings.data / "images").rmdir()

    answer = client.post("/v1/jobs", data=form((encoded(), "a.png")))

    assert (answer.status_code, answer.json["code"]) == (503, "store_unavailable")
    assert answer.headers["Retry-After"]
    assert client.get("/v1/jobs").json["jobs"] == []


def test_an_outage_of_the_database_is_503(client: FlaskClient, service: Service) -> None:
    with service.db.write() as connection:
        connection.exec_driver_sql("ALTER TABLE jobs RENAME TO gone")

    answer = client.get("/v1/jobs")

    assert (answer.status_code, answer.json["code"]) == (503, "database_unavailable")
    assert answer.headers["Retry-After"]


def test_jobs_are_listed_by_pages_and_filters(client: FlaskClient, work: Work) -> None:
    for number in range(5):
        client.post("/v1/jobs", data=form((encoded(), f"{number}.png"), cache="false"))
    work()
    client.post("/v1/jobs", data=form((encoded(colour="red"), "5.png")))

    def sources(address: str) -> list[str]:
        return [job["source"] for job in client.get(address).json["jobs"]]

    page = client.get("/v1/jobs?limit=4").json
    assert [job["source"] for job in page["jobs"]] == ["5.png", "4.png", "3.png", "2.png"]
    assert sources(page["next"]) == ["1.png", "0.png"]
    assert client.get(page["next"]).json["next"] is None
    assert sources("/v1/jobs?status=queued") == ["5.png"]
    assert len(sources("/v1/jobs?label=radiobutton")) == 5
    assert sources("/v1/jobs?label=radiobutton&min_score=0.5") == []
    assert sources("/v1/jobs?model=other") == []


def test_filters_stay_on_the_next_page(client: FlaskClient, work: Work) -> None:
    for number in range(3):
        client.post("/v1/jobs", data=form((encoded(), f"{number}.png"), cache="false"))
    work()

    page = client.get("/v1/jobs?limit=1&label=textbox&min_score=0.5").json

    assert "label=textbox" in page["next"]
    assert "min_score=0.5" in page["next"]
    assert [found["score"] for found in page["jobs"][0]["detections"]] == [0.9712]


def test_a_job_is_cancelled(client: FlaskClient, work: Work) -> None:
    first, second = client.post("/v1/jobs", data=form((encoded(), "a"), (encoded(colour="red"), "b"))).json["jobs"]

    assert client.post(f"{first['links']['self']}/cancel").json["status"] == "cancelled"
    work()
    answer = client.post(f"{second['links']['self']}/cancel")
    assert (answer.status_code, answer.json["code"]) == (409, "job_finished")


def test_id_in_capitals_is_the_same_id(client: FlaskClient) -> None:
    job = client.post("/v1/jobs", data=form((encoded(), "a.png"))).json

    assert client.get(f"/v1/jobs/{job['id'].upper()}").json["id"] == job["id"]


@pytest.mark.parametrize(
    ("kind", "media_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp"), ("BMP", "image/bmp")]
)
def test_the_image_link_returns_the_bytes_that_were_sent(client: FlaskClient, kind: str, media_type: str) -> None:
    job = client.post("/v1/jobs", data=form((encoded(kind), "a"))).json

    answer = client.get(job["links"]["image"])

    assert (answer.data, answer.mimetype) == (encoded(kind), media_type)
    assert answer.headers["ETag"] == f'"{job["image"]["sha256"]}"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "immutable" in answer.headers["Cache-Control"]
    again = client.get(job["links"]["image"], headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_an_annotated_picture_needs_a_succeeded_job(client: FlaskClient, work: Work) -> None:
    job = client.post("/v1/jobs", data=form((encoded(), "a.png"))).json
    early = client.get(job["links"]["annotated"])
    work()

    answer = client.get(job["links"]["annotated"])

    assert (early.status_code, early.json["code"]) == (409, "job_not_succeeded")
    assert (answer.status_code, answer.mimetype) == (200, "image/png")
    assert answer.data != encoded()
    again = client.get(job["links"]["annotated"], headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    other = client.get(job["links"]["annotated"] + "?min_score=0.5", headers={"If-None-Match": answer.headers["ETag"]})
    assert other.status_code == 200


def test_an_annotated_picture_is_drawn_once(client: FlaskClient, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    job = client.post("/v1/jobs", data=form((encoded(), "a.png"))).json
    work()
    first = client.get(job["links"]["annotated"])
    monkeypatch.setattr(DrawingPool, "draw", lambda *_: pytest.fail("it is drawn again"))

    again = client.get(job["links"]["annotated"])

    same = client.get(job["links"]["annotated"] + "?min_score=0.1")

    assert (again.data, again.mimetype, again.headers["ETag"]) == (first.data, "image/png", first.headers["ETag"])
    assert (same.data, same.headers["ETag"]) == (first.data, first.headers["ETag"])


@pytest.mark.parametrize("method", ["find", "keep"])
def test_an_annotated_picture_that_cannot_be_kept_is_sent(
    client: FlaskClient, work: Work, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    def full(*_: object) -> None:
        raise StoreUnavailable("The image store can't be written: no space left.")

    job = client.post("/v1/jobs", data=form((encoded(), "a.png"))).json
    work()
    monkeypatch.setattr(AnnotatedPictures, method, full)

    assert client.get(job["links"]["annotated"]).status_code == 200
    assert "no space left" in caplog.text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PictureTooCostly("It takes too long."), 422),
        (PictureUndecodable("It is damaged."), 422),
        (DrawingBusy("Many pictures are being drawn now."), 503),
    ],
)
def test_an_annotated_picture_that_is_not_drawn_is_a_refusal(
    client: FlaskClient, work: Work, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def fail(*_: object) -> None:
        raise error

    job = client.post("/v1/jobs", data=form((encoded(), "a.png"))).json
    work()
    monkeypatch.setattr(DrawingPool, "draw", fail)

    answer = client.get(job["links"]["annotated"])

    assert (answer.status_code, answer.json["code"], answer.json["detail"]) == (status, error.code, str(error))
    assert ("Retry-After" in answer.headers) == (status == 503)


def test_a_missing_picture_is_404(client: FlaskClient, service: Service) -> None:
    job = client.post("/v1/jobs", data=form((encoded(), "a.png"))).json
    service.store.delete(job["image"]["sha256"])

    answer = client.get(job["links"]["image"])

    assert (answer.status_code, answer.json["code"]) == (404, "picture_missing")


def test_a_file_above_half_a_megabyte_is_accepted(client: FlaskClient, service: Service) -> None:
    data = encoded() + b"\0" * 900_000

    answer = client.post(
        "/v1/jobs",
        data=b"--b\r\nContent-Disposition: form-data; name=model\r\n\r\ncards\r\n"
        b'--b\r\nContent-Disposition: form-data; name=image; filename="big.png"\r\n\r\n' + data + b"\r\n--b--\r\n",
        content_type="multipart/form-data; boundary=b",
    )

    assert answer.status_code == 202
    assert service.store.get(answer.json["image"]["sha256"]) == data


def test_body_of_unknown_length_is_read(client: FlaskClient) -> None:
    body = (
        b"--b\r\nContent-Disposition: form-data; name=model\r\n\r\ncards\r\n"
        b'--b\r\nContent-Disposition: form-data; name=image; filename="a.png"\r\n\r\n' + encoded() + b"\r\n--b--\r\n"
    )

    answer = client.post(
        "/v1/jobs",
        input_stream=io.BytesIO(body),
        content_type="multipart/form-data; boundary=b",
        environ_overrides={"wsgi.input_terminated": True},
    )

    assert answer.status_code == 202
