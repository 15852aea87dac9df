"""Health, version, models and queues."""

import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from api.service import Service
from jobs.build import checked_out
from jobs.queue import worker_registry
from jobs.tables import Job, new_id
from tests.unit.api.conftest import MODEL, encoded, form

Work = Callable[..., list[str]]


def enter_worker(service: Service, digest: str) -> None:
    worker_registry.register(
        service.db, new_id(), runtime="pytorch", host="here", models={MODEL: digest}, device="cpu", versions={}
    )


def test_healthz_answers(client: FlaskClient) -> None:
    assert client.get("/healthz").json == {"status": "ok"}


def test_without_redis_jobs_are_accepted(client: FlaskClient) -> None:
    answer = client.get("/readyz")

    assert (answer.status_code, answer.json["status"]) == (200, "degraded")
    assert answer.json["parts"]["database"] == {"ok": True, "fault": None}
    assert answer.json["parts"]["redis"]["ok"] is False
    assert "Redis" in answer.json["parts"]["redis"]["fault"]


def test_without_the_store_no_jobs_are_accepted(client: FlaskClient, service: Service) -> None:
    Path(service.settings.data / "images").rmdir()

    answer = client.get("/readyz")

    assert (answer.status_code, answer.json["status"]) == (503, "unavailable")
    assert answer.json["parts"]["store"]["ok"] is False


def test_without_tables_no_jobs_are_accepted(client: FlaskClient, service: Service) -> None:
    with service.db.write() as connection:
        connection.exec_driver_sql("ALTER TABLE jobs RENAME TO gone")

    assert client.get("/readyz").json["parts"]["database"]["ok"] is False


def test_a_model_is_available_if_a_worker_has_its_version(client: FlaskClient, service: Service) -> None:
    enter_worker(service, "another")
    before = client.get("/v1/models").json["models"][0]
    enter_worker(service, service.catalogue.entries[MODEL].digest)

    after = client.get("/v1/models").json["models"][0]

    assert (before["available"], after["available"]) == (False, True)
    assert (after["name"], after["aliases"], after["labels"]) == (MODEL, ["cards"], ["textbox", "radiobutton"])
    assert after["input"] == {"width": 384, "height": 384}


def test_a_queue_without_a_worker_is_shown(client: FlaskClient, service: Service) -> None:
    client.post("/v1/jobs", data=form((encoded(), "a.png")))
    before = client.get("/v1/queues").json["queues"]
    enter_worker(service, service.catalogue.entries[MODEL].digest)

    after = client.get("/v1/queues").json["queues"]

    assert [(queue["runtime"], queue["queued"], queue["no_worker"]) for queue in before] == [("pytorch", 1, True)]
    assert (after[0]["workers"], after[0]["no_worker"], after[0]["doorbells"]) == (1, False, None)


def test_a_queue_shows_the_versions_that_no_worker_serves(client: FlaskClient, service: Service) -> None:
    client.post("/v1/jobs", data=form((encoded(), "a.png")))
    with service.db.write() as connection:
        # Like a job whose model has changed after the submit.
        connection.execute(sa.update(Job).values(model_digest="of yesterday"))
    client.post("/v1/jobs", data=form((encoded(), "a.png"), cache="false"))

    (queue,) = client.get("/v1/queues").json["queues"]

    today = service.catalogue.entries[MODEL].digest
    assert {(one["digest"], one["current"], one["queued"]) for one in queue["unserved"]} == {
        ("of yesterday", False, 1),
        (today, True, 1),
    }


def test_a_queue_shows_the_outage_of_a_model_server(client: FlaskClient, service: Service) -> None:
    worker = new_id()
    worker_registry.register(service.db, worker, runtime="remote", host="h", models={}, device="remote", versions={})
    worker_registry.record_outage(service.db, worker, "distant", "server_timeout", "It did not answer within 10 s.")

    (queue,) = client.get("/v1/queues").json["queues"]

    (outage,) = queue["outages"]
    assert datetime.fromisoformat(outage.pop("since")).tzinfo is not None
    assert outage == {"model": "distant", "code": "server_timeout", "message": "It did not answer within 10 s."}


def test_version(client: FlaskClient) -> None:
    assert set(client.get("/version").json) == {"version", "commit", "branch", "build_time", "build_options"}


def git(folder: Path, *arguments: str) -> str:
    author = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    return subprocess.run(
        ["git", *author, "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_commit_of_a_checkout_and_of_a_worktree(tmp_path: Path) -> None:
    main, other, detached = (tmp_path / name for name in ("main", "other", "detached"))
    main.mkdir()
    git(main, "init", "--initial-branch=main")
    git(main, "commit", "--allow-empty", "--message=first")
    git(main, "worktree", "add", "-b", "feature/other", str(other))
    git(other, "commit", "--allow-empty", "--message=second")
    git(main, "worktree", "add", "--detach", str(detached))

    assert checked_out(main) == (git(main, "rev-parse", "HEAD"), "main")
    assert checked_out(other) == (git(other, "rev-parse", "HEAD"), "feature/other")
    assert checked_out(detached) == (git(main, "rev-parse", "HEAD"), None)
    (main / "package").mkdir()
    assert checked_out(main / "package") == (None, None)


def test_without_a_checkout_or_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checked_out(tmp_path) == (None, None)

    monkeypatch.setenv("PATH", str(tmp_path))
    assert checked_out(tmp_path / "other") == (None, None)
