"""`boxqueue ingest` against a service that is busy, down, refuses pictures or fails on them."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from flask import Response

from tests.unit.cli import fake_service
from tests.unit.cli.conftest import Boxqueue, fill, lines_of
from tests.unit.cli.fake_service import FakeService


@pytest.mark.parametrize(
    "fault", [fake_service.busy, fake_service.away, fake_service.bad_gateway, fake_service.lost_answer]
)
def test_a_request_is_repeated_with_its_key(
    ingest: Boxqueue, service: FakeService, folder: Path, waited: list[float], fault: object
) -> None:
    fill(folder, "a.png", "b.png")
    service.faults = [fault, fault]  # type: ignore[list-item]

    result = ingest()

    assert result.exit_code == 0, result.output
    assert len(waited) == 2
    assert len(service.uploads) == 3
    assert len({key for key, _, _ in service.uploads}) == 1
    assert [job["source"] for job in service.jobs] == ["a.png", "b.png"]


def test_ingest_waits_for_a_full_queue_as_long_as_retry_after_says(
    ingest: Boxqueue, service: FakeService, folder: Path, waited: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.progress.LINE_SECONDS", 0.0)
    fill(folder, "a.png")
    service.faults = [fake_service.full, fake_service.full]

    result = ingest()

    assert result.exit_code == 0, result.output
    assert waited == [1, 1]
    assert "tries again in 1 s: The queue pytorch is full" in result.stderr
    assert [job["source"] for job in service.jobs] == ["a.png"]


def test_ctrl_c_ends_the_wait_for_a_full_queue(ingest: Boxqueue, service: FakeService, folder: Path) -> None:
    fill(folder, *(f"{number:02}.png" for number in range(40)))
    service.faults = [None, fake_service.interrupt_soon]
    started = time.monotonic()

    result = ingest()

    assert result.exit_code == 130
    assert time.monotonic() - started < 30
    assert "accepted 32 pictures in batch batch-1" in result.stderr


def test_a_request_too_large_for_the_service_is_divided(ingest: Boxqueue, service: FakeService, folder: Path) -> None:
    fill(folder, *(f"{number}.png" for number in range(8)))
    service.most_pictures = 2

    result = ingest()

    assert result.exit_code == 0, result.output
    assert sorted(job["source"] for job in service.jobs) == [f"{number}.png" for number in range(8)]


def test_a_picture_too_large_for_any_request_is_named(ingest: Boxqueue, service: FakeService, folder: Path) -> None:
    fill(folder, "a.png")
    service.most_pictures = 0

    result = ingest()

    assert result.exit_code == 1
    assert "1: a.png" in result.stdout
    assert "too_many_pictures" in result.stdout


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (fake_service.crashed, "service_failed"),
        (fake_service.lost_answer, "service_failed"),
        (fake_service.unsupported, "picture_unsupported"),
    ],
)
def test_a_picture_that_a_request_fails_on_costs_no_other(
    ingest: Boxqueue,
    service: FakeService,
    folder: Path,
    tmp_path: Path,
    waited: list[float],
    fault: Callable[[], Response],
    code: str,
) -> None:
    names = [f"{number:02}.png" for number in range(20)]
    fill(folder, *names, "07-guilty.png")
    service.guilty = fault

    result = ingest("--output", tmp_path / "results.jsonl")

    assert result.exit_code == 1
    assert sorted(job["source"] for job in service.jobs) == names
    lines = lines_of(tmp_path / "results.jsonl")
    assert lines["07-guilty.png"]["error"]["code"] == code
    assert len(lines) == 21
    assert f"{code}" in result.stdout


def test_pictures_at_fault_one_after_the_other_cost_no_other(
    ingest: Boxqueue, service: FakeService, folder: Path, waited: list[float]
) -> None:
    fill(folder, *(f"{number:02}-guilty.png" for number in range(20)), "a.png", "b.png")
    service.guilty = fake_service.crashed

    result = ingest()

    assert sorted(job["source"] for job in service.jobs) == ["a.png", "b.png"]
    assert "20: 00-guilty.png, 01-guilty.png, 02-guilty.png and 17 more (.png 20)" in result.stdout


def test_pictures_at_fault_among_others_do_not_stop_the_command(
    ingest: Boxqueue, service: FakeService, folder: Path, waited: list[float]
) -> None:
    fill(folder, *(f"{number:02}-{kind}.png" for number in range(40) for kind in ("good", "guilty")))
    service.guilty = fake_service.crashed

    facts = json.loads(ingest("--json").stdout)

    assert (facts["succeeded"], facts["failures"]) == (40, {"service_failed": 40})


def test_a_service_that_fails_on_every_picture_stops_the_command(
    ingest: Boxqueue, service: FakeService, folder: Path, waited: list[float]
) -> None:
    fill(folder, "00.png", *(f"{number:02}-guilty.png" for number in range(1, 100)))
    service.guilty = fake_service.crashed

    result = ingest()

    assert result.exit_code == 1
    assert "failed on 32 pictures in a row" in result.stderr
    assert "Without a job: 32 pictures (service_failed 32), of which --resume does not know." in result.stderr
    assert [job["source"] for job in service.jobs] == ["00.png"]


def test_a_service_that_fails_because_it_is_not_ready_is_waited_for(
    ingest: Boxqueue, service: FakeService, folder: Path, waited: list[float]
) -> None:
    fill(folder, "a.png", "b.png")
    service.faults = [fake_service.crashed] * 6
    service.not_ready = 6

    result = ingest()

    assert result.exit_code == 0, result.output
    assert len({key for key, _, _ in service.uploads}) == 1
    assert [job["source"] for job in service.jobs] == ["a.png", "b.png"]


def test_a_service_that_is_down_is_waited_for(
    ingest: Boxqueue, service: FakeService, folder: Path, waited: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(folder, "a.png", "b.png")
    send = httpx.HTTPTransport.handle_request

    def refuse_uploads(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/jobs") and len(waited) < 6:
            raise httpx.ConnectError("Connection refused", request=request)
        return send(transport, request)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", refuse_uploads)

    result = ingest()

    assert result.exit_code == 0, result.output
    assert [sent for _, _, sent in service.uploads] == [["a.png", "b.png"]]


def test_pictures_that_were_accepted_before_the_service_failed_are_not_sent_again(
    ingest: Boxqueue, service: FakeService, folder: Path, waited: list[float]
) -> None:
    fill(folder, "a.png", "b.png")
    service.faults = [fake_service.lost_answer] * 3

    result = ingest()

    assert result.exit_code == 0, result.output
    assert [job["source"] for job in service.jobs] == ["a.png", "b.png"]
