"""A full queue: which requests are refused, and which are still answered."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

import jobs.queue.backpressure
from api.service import Service
from jobs.queue import worker_registry
from jobs.settings import Settings
from jobs.tables import Claim, Job, first_id_of, new_id
from tests.unit.api.conftest import MODEL, encoded, form
from tests.unit.api.document import Document

Work = Callable[..., list[str]]
LIMIT = 3
COLOURS = ("red", "green", "blue", "white", "black", "yellow")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"max_queued_jobs": LIMIT})


@pytest.fixture(autouse=True)
def query_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads the state of a queue for each request. Otherwise it is cached for a moment."""
    monkeypatch.setattr(jobs.queue.backpressure, "REUSE_FACTOR", -1)


@pytest.fixture
def fill(client: FlaskClient) -> Callable[..., None]:
    """Fills the queue to its limit."""

    def fill(priority: int = 0) -> None:
        for colour in COLOURS[:LIMIT]:
            answer = client.post("/v1/jobs", data=form((encoded(colour=colour), "a.png"), priority=priority))
            assert answer.status_code == 202

    return fill


def another(**fields: object) -> dict[str, object]:
    return form((encoded(colour="yellow"), "one more.png"), **fields)


def test_a_full_queue_refuses_submits_with_retry_after(
    client: FlaskClient, fill: Callable[..., None], tmp_path: Path
) -> None:
    document = Document(client.get("/openapi.json").json)
    batch = client.post("/v1/batches").json["links"]
    fill()
    stored = sorted((tmp_path / "images").rglob("*"))

    lone, filling = client.post("/v1/jobs", data=another()), client.post(batch["jobs"], data=another())

    document.check("post", "/v1/jobs", lone)
    document.check("post", "/v1/batches/{batch_id}/jobs", filling)
    for answer in (lone, filling):
        assert (answer.status_code, answer.json["code"]) == (429, "queue_full")
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        assert f"again in {answer.headers['Retry-After']} s" in answer.json["detail"]
    assert len(client.get("/v1/jobs").json["jobs"]) == LIMIT
    assert sorted((tmp_path / "images").rglob("*")) == stored


def test_there_is_room_again_when_a_job_was_claimed(client: FlaskClient, fill: Callable[..., None], work: Work) -> None:
    fill()
    work()

    assert client.post("/v1/jobs", data=another()).status_code == 202


def test_low_priority_jobs_fill_the_queue_only_for_low_priority(client: FlaskClient, fill: Callable[..., None]) -> None:
    fill(priority=-10)

    assert client.post("/v1/jobs", data=another(priority=-10)).status_code == 429
    assert client.post("/v1/jobs", data=another(priority=-11)).status_code == 429
    assert client.post("/v1/jobs", data=another()).status_code == 202


def test_a_full_queue_does_not_refuse_reads(client: FlaskClient, fill: Callable[..., None]) -> None:
    batch = client.post("/v1/batches").json["links"]
    fill()

    for path in ("/v1/jobs", batch["self"], batch["results"], "/v1/models", "/readyz"):
        assert client.get(path).status_code == 200
    (queue,) = client.get("/v1/queues").json["queues"]
    assert (queue["queued"], queue["full_up_to_priority"]) == (LIMIT, 0)


def test_a_cached_answer_is_returned_although_the_queue_is_full(
    client: FlaskClient, fill: Callable[..., None], work: Work
) -> None:
    client.post("/v1/jobs", data=another())
    work()
    fill()

    again = client.post("/v1/jobs", data=another())
    afresh = client.post("/v1/jobs", data=another(cache="false"))
    mixed = client.post("/v1/jobs", data=form((encoded(colour="yellow"), "a"), (encoded(colour="black"), "b")))

    assert (again.status_code, again.json["repeated"]) == (200, True)
    assert (afresh.status_code, mixed.status_code) == (429, 429)


def test_an_invalid_picture_of_a_batch_fails_although_the_queue_is_full(
    client: FlaskClient, fill: Callable[..., None]
) -> None:
    batch = client.post("/v1/batches").json["links"]
    fill()

    answer = client.post(batch["jobs"], data=form((b"", "empty.png")))

    assert (answer.status_code, answer.json["jobs"][0]["status"]) == (200, "failed")


def test_a_request_that_was_accepted_keeps_its_answer(
    client: FlaskClient, fill: Callable[..., None], work: Work
) -> None:
    known, new = {"Idempotency-Key": "known"}, {"Idempotency-Key": "new"}
    first = client.post("/v1/jobs", data=form((encoded(colour="black"), "a.png")), headers=known)
    for colour in COLOURS[: LIMIT - 1]:
        client.post("/v1/jobs", data=form((encoded(colour=colour), "a.png")))

    again = client.post("/v1/jobs", data=form((encoded(colour="black"), "a.png")), headers=known)
    other = client.post("/v1/jobs", data=another(), headers=known)
    refused = client.post("/v1/jobs", data=another(), headers=new)
    work()
    later = client.post("/v1/jobs", data=another(), headers=new)

    assert (again.status_code, again.json["id"]) == (202, first.json["id"])
    assert other.json["code"] == "idempotency_key_reused"
    # A refusal does not use the key.
    assert (refused.status_code, later.status_code) == (429, 202)


def test_a_closed_or_cancelled_batch_is_reported_before_a_full_queue(
    client: FlaskClient, fill: Callable[..., None]
) -> None:
    closed, cancelled = client.post("/v1/batches").json["links"], client.post("/v1/batches").json["links"]
    client.post(f"{closed['self']}/close")
    client.post(f"{cancelled['self']}/cancel")
    fill()

    assert client.post(closed["jobs"], data=another()).json["code"] == "batch_closed"
    assert client.post(cancelled["jobs"], data=another()).json["code"] == "batch_cancelled"


def test_a_cancelled_batch_makes_room_at_once(client: FlaskClient) -> None:
    batch = client.post("/v1/batches").json["links"]
    client.post(batch["jobs"], data=form(*((encoded(colour=colour), "a.png") for colour in COLOURS[:LIMIT])))
    assert client.post("/v1/jobs", data=another()).status_code == 429

    client.post(f"{batch['self']}/cancel")

    assert client.post("/v1/jobs", data=another()).status_code == 202


def test_retry_after_is_the_time_until_the_queue_has_room(
    client: FlaskClient, service: Service, fill: Callable[..., None]
) -> None:
    fill()
    row = {"runtime": "pytorch", "model": MODEL, "worker_id": new_id(), "task_id": "t", "priority": 0, "turn": 0}
    with service.db.write() as connection:
        # Twelve jobs taken in the last minute: one each five seconds.
        connection.execute(sa.insert(Claim).values(**row, size=12, expires_at=sa.func.now()))
    nobody = client.post("/v1/jobs", data=another())
    worker_registry.register(service.db, new_id(), runtime="pytorch", host="h", models={}, device="cpu", versions={})

    answer = client.post("/v1/jobs", data=form((encoded(colour="yellow"), "a"), (encoded(colour="black"), "b")))

    assert "no live worker" in nobody.json["detail"]
    assert answer.headers["Retry-After"] == "10"  # two places


def test_a_queue_whose_oldest_job_waits_too_long_is_full(
    client: FlaskClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.backpressure, "_max_jobs", 0)
    monkeypatch.setattr(service.backpressure, "_max_seconds", 60.0)
    for colour in COLOURS[: LIMIT + 1]:
        assert client.post("/v1/jobs", data=form((encoded(colour=colour), "a.png"))).status_code == 202
    first = client.get("/v1/jobs").json["jobs"][-1]["id"]
    with service.db.write() as connection:
        long_ago = datetime.now(UTC) - timedelta(seconds=61)
        connection.execute(sa.update(Job).where(Job.id == first).values(id=first_id_of(long_ago), created_at=long_ago))

    answer = client.post("/v1/jobs", data=another())

    assert (answer.status_code, answer.json["code"]) == (429, "queue_full")
    assert "BOXQUEUE_MAX_QUEUED_SECONDS" in answer.json["detail"]
    assert client.post("/v1/jobs", data=another(priority=1)).status_code == 202
