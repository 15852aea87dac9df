"""Batches: opened, filled, closed, cancelled, and their results as a stream."""

import json
from collections.abc import Callable

from flask.testing import FlaskClient

from tests.unit.api.conftest import encoded, form

Work = Callable[..., list[str]]


def opened(client: FlaskClient) -> str:
    return str(client.post("/v1/batches", json={"name": "May"}).json["links"]["self"])


def test_a_batch_is_opened(client: FlaskClient) -> None:
    answer = client.post("/v1/batches", json={"name": "May"})

    batch = answer.json
    assert (answer.status_code, answer.headers["Location"]) == (201, f"/v1/batches/{batch['id']}")
    assert (batch["name"], batch["status"], batch["total"], batch["pending"]) == ("May", "open", 0, 0)
    assert client.get(batch["links"]["self"]).json == batch


def test_the_name_of_a_batch_is_optional(client: FlaskClient) -> None:
    assert client.post("/v1/batches").json["name"] is None


def test_the_total_equals_the_number_of_files(client: FlaskClient, work: Work) -> None:
    batch = opened(client)

    answer = client.post(f"{batch}/jobs", data=form((encoded(), "a.png"), (b"", "empty.png"), (b"text", "notes.jpg")))

    jobs = answer.json["jobs"]
    assert (answer.status_code, answer.headers["Location"]) == (202, batch)
    assert [job["status"] for job in jobs] == ["queued", "failed", "failed"]
    assert [job["error"] and job["error"]["code"] for job in jobs] == [None, "picture_empty", "picture_unknown_format"]
    assert client.get(jobs[1]["links"]["image"]).json["code"] == "picture_missing"
    work()
    assert client.post(f"{batch}/close").json["status"] == "finished"
    counts = client.get(batch).json
    assert [counts[name] for name in ("total", "pending", "succeeded", "failed", "cancelled")] == [3, 0, 1, 2, 0]


def test_one_picture_answers_with_a_list_too(client: FlaskClient) -> None:
    answer = client.post(f"{opened(client)}/jobs", data=form((encoded(), "a.png")))

    assert [job["source"] for job in answer.json["jobs"]] == ["a.png"]


def test_a_closed_batch_accepts_no_more_jobs(client: FlaskClient) -> None:
    batch = opened(client)
    client.post(f"{batch}/close")

    answer = client.post(f"{batch}/jobs", data=form((encoded(), "a.png")))

    assert (answer.status_code, answer.json["code"]) == (409, "batch_closed")
    assert client.post(f"{batch}/close").status_code == 200


def test_an_idempotency_key_belongs_to_its_batch(client: FlaskClient) -> None:
    first, second = opened(client), opened(client)

    answers = [
        client.post(f"{batch}/jobs", data=form((encoded(), "a.png")), headers={"Idempotency-Key": "k"})
        for batch in (first, second)
    ]

    assert [answer.status_code for answer in answers] == [202, 422]
    assert answers[1].json["code"] == "idempotency_key_reused"


def test_a_batch_is_cancelled(client: FlaskClient, work: Work) -> None:
    batch = opened(client)
    client.post(f"{batch}/jobs", data=form((encoded(), "a.png"), (encoded(colour="red"), "b.png")))

    answer = client.post(f"{batch}/cancel").json

    assert (answer["status"], answer["cancelled"], answer["pending"]) == ("cancelled", 2, 0)
    assert work() == []
    refused = client.post(f"{batch}/jobs", data=form((encoded(), "a.png")))
    assert (refused.status_code, refused.json["code"]) == (409, "batch_cancelled")


def test_results_are_the_finished_jobs_as_one_line_each(client: FlaskClient, work: Work) -> None:
    batch = opened(client)
    files = [(encoded(size=(20 + number, 20)), f"{number}é.png") for number in range(7)]
    client.post(f"{batch}/jobs", data=form(*files, (b"", "empty.png")))
    work()
    client.post(f"{batch}/jobs", data=form((encoded(), "late.png")))

    answer = client.get(f"{batch}/results")

    lines = [json.loads(line) for line in answer.data.decode().splitlines()]
    assert answer.mimetype == "application/x-ndjson"
    assert [line["source"] for line in lines] == [f"{number}é.png" for number in range(7)] + ["empty.png"]
    assert lines[0] == client.get(lines[0]["links"]["self"]).json


def test_results_of_an_empty_batch_are_empty(client: FlaskClient) -> None:
    answer = client.get(f"{opened(client)}/results?format=jsonl")

    assert (answer.status_code, answer.data) == (200, b"")


def test_results_in_other_formats_are_refused(client: FlaskClient) -> None:
    answer = client.get(f"{opened(client)}/results?format=xml")

    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "format")
