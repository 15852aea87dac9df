"""`boxqueue ingest`: pictures are sent, followed, and their results written."""

import json
from pathlib import Path

import pytest

from tests.unit.cli import fake_service
from tests.unit.cli.conftest import Boxqueue, fill
from tests.unit.cli.fake_service import FakeService


def test_every_picture_is_sent_once_in_requests_of_several(
    ingest: Boxqueue, service: FakeService, folder: Path
) -> None:
    names = [f"{number:03}.png" for number in range(70)]
    fill(folder, *names)

    result = ingest("--batch", "scans")

    assert result.exit_code == 0, result.output
    assert [len(sent) for _, _, sent in service.uploads] == [32, 32, 6]
    assert [name for _, _, sent in service.uploads for name in sent] == names
    assert len({key for key, _, _ in service.uploads}) == 3
    assert service.batches["batch-1"] == {"name": "scans", "ended": "closed"}


def test_requests_stay_below_the_byte_limit(
    ingest: Boxqueue, service: FakeService, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.pictures.MAX_BYTES", 2 * len(b"bytes of 0.png"))
    fill(folder, *(f"{number}.png" for number in range(5)), f"{'x' * 50}.png")

    ingest()

    assert [len(sent) for _, _, sent in service.uploads] == [2, 2, 1, 1]


def test_every_request_has_the_options(ingest: Boxqueue, service: FakeService, folder: Path) -> None:
    fill(folder, "a.png")

    ingest("--min-score", "0.5", "--no-cache")

    assert service.uploads[0][1] == {"model": "cards", "priority": "-10", "min_score": "0.5", "cache": "false"}


def test_failed_pictures_are_counted_by_code_and_named(ingest: Boxqueue, folder: Path) -> None:
    fill(folder, "good.png", *(f"bad{number}.png" for number in range(5)))

    result = ingest()

    assert result.exit_code == 1
    assert "5: bad0.png, bad1.png, bad2.png and 2 more" in result.stdout
    assert "picture_empty" in result.stdout


def test_the_results_are_written_one_job_a_line(ingest: Boxqueue, folder: Path, tmp_path: Path) -> None:
    fill(folder, "a.png", "bad.png")

    ingest("--output", tmp_path / "results.jsonl")

    jobs = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [(job["source"], job["status"]) for job in jobs] == [("a.png", "succeeded"), ("bad.png", "failed")]


def test_results_that_are_not_complete_leave_no_file(
    ingest: Boxqueue, service: FakeService, folder: Path, tmp_path: Path
) -> None:
    fill(folder, "a.png", "b.png")
    service.lost_results = 1

    result = ingest("--output", tmp_path / "results.jsonl")

    assert result.exit_code == 1
    assert "1 results, but the batch has 2" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]


def test_an_unwritable_results_file_is_an_error_before_anything_is_sent(
    ingest: Boxqueue, service: FakeService, folder: Path, tmp_path: Path
) -> None:
    fill(folder, "a.png")

    result = ingest("--output", tmp_path / "nowhere" / "results.jsonl")

    assert result.exit_code == 1
    assert "Can't write" in result.stderr
    assert service.uploads == []


def test_ctrl_c_says_what_was_accepted_and_what_to_do(ingest: Boxqueue, service: FakeService, folder: Path) -> None:
    fill(folder, *(f"{number:02}.png" for number in range(40)))
    service.faults = [None, fake_service.interrupt]

    result = ingest()

    assert result.exit_code == 130
    assert "accepted 32 pictures in batch batch-1" in result.stderr
    assert "boxqueue ingest --resume batch-1" in result.stderr
    assert "boxqueue batches batch-1 --cancel" in result.stderr
    assert service.batches["batch-1"]["ended"] == "closed"


def test_resume_follows_a_batch_to_its_end(
    boxqueue: Boxqueue, ingest: Boxqueue, service: FakeService, folder: Path, tmp_path: Path
) -> None:
    fill(folder, "a.png", "bad.png")
    ingest()

    result = boxqueue("ingest", "--resume", "batch-1", "--url", service.url, "--output", tmp_path / "later.jsonl")

    assert result.exit_code == 1
    assert len((tmp_path / "later.jsonl").read_text().splitlines()) == 2
    assert "picture_empty" in result.stdout


def test_the_reason_is_shown_if_a_batch_makes_no_progress(
    ingest: Boxqueue, service: FakeService, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.commands.ingest.STALLED_SECONDS", 0.0)
    monkeypatch.setattr("cli.progress.LINE_SECONDS", 0.0)
    fill(folder, "a.png", "b.png")
    service.pending = [2, 2, 2, 1]

    result = ingest()

    assert result.exit_code == 0, result.output
    assert "pictures: pytorch: no live worker" in result.stderr
    assert "Start one: `boxqueue up`" in result.stderr


def test_progress_is_shown_while_pictures_are_still_sent(
    ingest: Boxqueue, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.commands.ingest.POLL_SECONDS", 0.0)
    monkeypatch.setattr("cli.progress.LINE_SECONDS", 0.0)
    fill(folder, *(f"{number:03}.png" for number in range(70)))

    result = ingest()

    assert result.exit_code == 0, result.output
    assert "pictures: 32 uploaded, 32 of 70 done" in result.stderr


def test_an_unknown_model_is_refused_with_the_known_ones(
    boxqueue: Boxqueue, service: FakeService, folder: Path
) -> None:
    fill(folder, "a.png")

    result = boxqueue("ingest", folder, "--model", "dogs", "--url", service.url)

    assert result.exit_code == 2
    assert "There is no model named 'dogs'. Known models: cards." in result.stderr
    assert service.batches == {}


def test_an_alias_is_accepted_as_a_model(boxqueue: Boxqueue, service: FakeService, folder: Path) -> None:
    fill(folder, "a.png")

    result = boxqueue("ingest", folder, "--model", "forms", "--url", service.url)

    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["nowhere", "--model", "cards"], 2, "Can't read the folder nowhere"),
        (["pictures", "--model", "cards"], 1, "There are no pictures in pictures (try --recursive)"),
        (["pictures"], 2, "Name a folder and a --model"),
        (["pictures", "--model", "cards", "--min-score", "7"], 2, "min-score"),
        (["--resume", "batch-9"], 1, "There is no batch batch-9 (not_found)."),
    ],
)
def test_wrong_input_gives_one_error_message(
    boxqueue: Boxqueue, service: FakeService, folder: Path, arguments: list[str], code: int, sentence: str
) -> None:
    result = boxqueue("ingest", *arguments, "--url", service.url)

    assert (result.exit_code, sentence in result.stderr) == (code, True), result.output
