"""The commands that show what the service has, and their errors."""

import json

import pytest

from cli.address import free_port
from tests.unit.cli.conftest import Boxqueue
from tests.unit.cli.fake_service import FakeService


@pytest.fixture
def filled(service: FakeService) -> FakeService:
    service.batches["batch-1"] = {"name": "scans", "ended": None}
    for name in ("a.png", "bad.png", "[c].png"):
        service.jobs.append(service._new_job("batch-1", name))
    return service


def test_jobs_lists_every_page(boxqueue: Boxqueue, filled: FakeService) -> None:
    result = boxqueue("jobs", "--url", filled.url)

    assert result.exit_code == 0
    assert all(name in result.stdout for name in ("a.png", "bad.png", "[c].png", "picture_empty", "textbox 0.90"))


def test_jobs_stops_at_the_limit_and_filters(boxqueue: Boxqueue, filled: FakeService) -> None:
    some = boxqueue("jobs", "--limit", "1", "--json", "--url", filled.url)
    failed = boxqueue("jobs", "--status", "failed", "--batch", "batch-1", "--json", "--url", filled.url)

    assert [job["source"] for job in json.loads(some.stdout)] == ["a.png"]
    assert [job["source"] for job in json.loads(failed.stdout)] == ["bad.png"]


def test_one_job_is_shown_with_its_detections(boxqueue: Boxqueue, filled: FakeService) -> None:
    result = boxqueue("jobs", "job-1-a.png", "--url", filled.url)

    assert "1, 2, 3, 4" in result.stdout
    assert "decode 3, inference 15, total 34" in result.stdout


def test_a_batch_is_shown_closed_and_cancelled(boxqueue: Boxqueue, filled: FakeService) -> None:
    shown = boxqueue("batches", "batch-1", "--url", filled.url)
    boxqueue("batches", "batch-1", "--close", "--url", filled.url)
    closed = filled.batches["batch-1"]["ended"]
    cancelled = boxqueue("batches", "batch-1", "--cancel", "--json", "--url", filled.url)

    assert "scans" in shown.stdout
    assert closed == "closed"
    assert json.loads(cancelled.stdout)["status"] == "cancelled"


def test_models_and_queues_are_listed(boxqueue: Boxqueue, service: FakeService) -> None:
    models = boxqueue("models", "--url", service.url)
    queues = boxqueue("queues", "--url", service.url)

    assert "forms" in models.stdout
    assert "pytorch: no live worker; 1 worker was lost" in queues.stdout
    assert json.loads(boxqueue("queues", "--json", "--url", service.url).stdout)[0]["queued"] == 7


def test_version_shows_both_versions(boxqueue: Boxqueue, service: FakeService) -> None:
    assert "service: commit abc, version 9.9" in boxqueue("version", "--url", service.url).stdout


def test_version_needs_no_service(boxqueue: Boxqueue) -> None:
    result = boxqueue("version", "--url", f"http://127.0.0.1:{free_port('127.0.0.1')}")

    assert result.exit_code == 0
    assert "service: none answers" in result.stdout


def test_a_missing_service_gives_an_error_message_and_code_3(boxqueue: Boxqueue) -> None:
    result = boxqueue("jobs", "--url", f"http://127.0.0.1:{free_port('127.0.0.1')}")

    assert result.exit_code == 3
    assert "start one with `boxqueue up`" in result.stderr


def test_a_problem_gives_an_error_message_with_its_code(boxqueue: Boxqueue, service: FakeService) -> None:
    result = boxqueue("jobs", "job-9", "--url", service.url)

    assert result.exit_code == 1
    assert result.stderr == "There is no job job-9 (not_found).\n"


def test_an_invalid_address_is_a_usage_error(boxqueue: Boxqueue) -> None:
    result = boxqueue("jobs", "--url", "localhost:8000")

    assert result.exit_code == 2
    assert "write it like http://127.0.0.1:8000" in result.stderr


def test_a_wrong_setting_gives_an_error_message_and_code_2(boxqueue: Boxqueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXQUEUE_PORT", "none")

    result = boxqueue("jobs")

    assert result.exit_code == 2
    assert "BOXQUEUE_PORT" in result.stderr
