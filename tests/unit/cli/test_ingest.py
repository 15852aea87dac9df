"""`boxqueue ingest` against a service that answers at once, refuses, is down, or loses its answers."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Response

from tests.unit.cli import fake_service
from tests.unit.cli.conftest import Boxqueue
from tests.unit.cli.fake_service import FakeService


@pytest.fixture
def ingest(boxqueue: Boxqueue, service: FakeService, folder: Path) -> Boxqueue:
    return lambda *arguments: boxqueue("ingest", folder, "--model", "cards", "--url", service.url, *arguments)


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"bytes of " + name.encode())


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


def test_names_arrive_as_they_are(ingest: Boxqueue, service: FakeService, folder: Path) -> None:
    names = [r"C:\scans\a.png", 'a"b.png', "a%22b.png", "näh 文.png", " ;=.png"]
    fill(folder, *names)

    ingest()

    assert sorted(name for _, _, sent in service.uploads for name in sent) == sorted(names)


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


def test_recursive_includes_subfolders(ingest: Boxqueue, service: FakeService, folder: Path) -> None:
    fill(folder, "a.JPG", "notes.txt", "below/b.webp", "below/deep/c.tiff")

    result = ingest("--recursive", "--json")

    assert [job["source"] for job in service.jobs] == ["a.JPG", "below/b.webp", "below/deep/c.tiff"]
    assert json.loads(result.stdout)["skipped"] == 1


def test_links_that_lead_in_circles_are_not_followed(ingest: Boxqueue, service: FakeService, folder: Path) -> None:
    fill(folder, "a.png", "below/b.png")
    (folder / "below" / "again").symlink_to(folder)

    ingest("--recursive")

    assert [job["source"] for job in service.jobs] == ["a.png", "below/b.png"]


def test_without_recursive_subfolders_are_skipped(ingest: Boxqueue, service: FakeService, folder: Path) -> None:
    fill(folder, "a.png", "below/b.png")

    ingest()

    assert [job["source"] for job in service.jobs] == ["a.png"]


def test_failed_pictures_are_counted_by_code_and_named(ingest: Boxqueue, folder: Path) -> None:
    fill(folder, "good.png", *(f"bad{number}.png" for number in range(5)))

    result = ingest()

    assert result.exit_code == 1
    assert "5: bad0.png, bad1.png, bad2.png and 2 more" in result.stdout
    assert "picture_empty" in result.stdout


def test_a_file_that_cant_be_read_is_named_and_counted(ingest: Boxqueue, service: FakeService, folder: Path) -> None:
    fill(folder, "a.png")
    (folder / "gone.png").symlink_to(folder / "nowhere")

    result = ingest()

    assert result.exit_code == 1
    assert "1: gone.png (No such file or directory)" in result.stdout
    assert [job["source"] for job in service.jobs] == ["a.png"]


def test_a_picture_with_an_invalid_name_is_sent_with_a_valid_one(
    ingest: Boxqueue, service: FakeService, folder: Path
) -> None:
    (folder / os.fsdecode(b"caf\xe9\x07.png")).write_bytes(b"x")

    result = ingest()

    assert result.exit_code == 0, result.output
    assert [job["source"] for job in service.jobs] == ["caf\ufffd\ufffd.png"]


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the client waits between its tries, which take no time here."""
    waited: list[float] = []
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=waited.append))
    return waited


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


PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)


def lines_of(file: Path) -> dict[str, dict[str, Any]]:
    """The lines of a results file, by the source of each."""
    return {line["source"]: line for line in map(json.loads, file.read_text().splitlines())}


def test_pictures_are_told_by_their_first_bytes(ingest: Boxqueue, service: FakeService, folder: Path) -> None:
    for name in ("scan", "photo.JFIF", "IMG_1.HEIC", "web.avif", "renamed.dat"):
        (folder / name).write_bytes(PNG)
    fill(folder, "notes.txt", "damaged.png")

    result = ingest("--json")

    assert sorted(job["source"] for job in service.jobs) == [
        *("IMG_1.HEIC", "damaged.png", "photo.JFIF", "renamed.dat", "scan", "web.avif"),
    ]
    assert json.loads(result.stdout)["skipped_by_ending"] == {".txt": 1}


def test_every_file_stands_in_the_results_with_its_status_and_code(
    ingest: Boxqueue, folder: Path, tmp_path: Path
) -> None:
    fill(folder, "a.png", "bad.png", "notes.txt", "table.XML", "table.xml")
    (folder / "gone.png").symlink_to(folder / "nowhere")
    (folder / "link").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.png")

    result = ingest("--output", tmp_path / "results.jsonl", "--json")

    lines = lines_of(tmp_path / "results.jsonl")
    assert {name: (line["status"], (line["error"] or {}).get("code")) for name, line in lines.items()} == {
        "a.png": ("succeeded", None),
        "bad.png": ("failed", "picture_empty"),
        "gone.png": ("failed", "unreadable"),
        "link": ("skipped", "not_a_file"),
        "pipe.png": ("skipped", "not_a_file"),
        "notes.txt": ("skipped", "not_a_picture"),
        "table.XML": ("skipped", "not_a_picture"),
        "table.xml": ("skipped", "not_a_picture"),
    }
    assert set(lines["gone.png"]) >= {"id", "detections", "image", "links"}
    facts = json.loads(result.stdout)
    assert facts["skipped_by_ending"] == {"no ending": 1, ".txt": 1, ".png": 1, ".xml": 2}
    assert facts["failures_by_ending"] == {"unreadable": {".png": 1}, "picture_empty": {".png": 1}}


def test_files_that_vanish_while_it_runs_are_all_named(
    ingest: Boxqueue, service: FakeService, folder: Path, tmp_path: Path
) -> None:
    names = [f"{number:03}.png" for number in range(133)]
    fill(folder, *names)

    def vanish() -> Response:
        # The first request has 32 pictures, and one more is read ahead.
        for name in names[33:]:
            (folder / name).unlink()
        return fake_service.busy()

    service.faults = [vanish]
    result = ingest("--output", tmp_path / "results.jsonl")

    lines = lines_of(tmp_path / "results.jsonl")
    assert sorted(lines) == names
    assert sum(line["status"] == "failed" for line in lines.values()) == 100
    assert "unreadable" in result.stdout
    assert "100: 033.png" in result.stdout
    assert "and 97 more (.png 100)" in result.stdout


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


def test_a_service_that_fails_on_every_picture_stops_the_command(
    ingest: Boxqueue, service: FakeService, folder: Path, waited: list[float]
) -> None:
    fill(folder, *(f"{number:02}-guilty.png" for number in range(40)))
    service.guilty = fake_service.crashed

    result = ingest()

    assert result.exit_code == 1
    assert "failed on each of the first 8 pictures" in result.stderr
    assert service.jobs == []


def test_pictures_that_were_accepted_before_the_service_failed_are_not_sent_again(
    ingest: Boxqueue, service: FakeService, folder: Path, waited: list[float]
) -> None:
    fill(folder, "a.png", "b.png")
    service.faults = [fake_service.lost_answer] * 3

    result = ingest()

    assert result.exit_code == 0, result.output
    assert [job["source"] for job in service.jobs] == ["a.png", "b.png"]


def test_what_is_never_a_users_picture_is_left_out_and_counted(
    ingest: Boxqueue, service: FakeService, folder: Path
) -> None:
    fill(folder, "a.png", "@eaDir/a.png/thumb.jpg", "__MACOSX/._a.png", ".git/x.png", "._a.png", "Thumbs.db")

    result = ingest("--recursive", "--json")

    assert [job["source"] for job in service.jobs] == ["a.png"]
    facts = json.loads(result.stdout)
    assert (facts["left_out"], facts["skipped"], facts["failed"]) == (5, 0, 0)


def test_a_folder_without_pictures_says_what_is_in_it(boxqueue: Boxqueue, service: FakeService, folder: Path) -> None:
    fill(folder, "a.txt", "b.txt", "c.xml")

    result = boxqueue("ingest", folder, "--model", "cards", "--url", service.url)

    assert result.exit_code == 1
    assert "among its 3 files (.txt 2, .xml 1)" in result.stderr
    assert service.batches == {}
