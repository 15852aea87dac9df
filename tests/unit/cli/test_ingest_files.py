"""`boxqueue ingest` and the files of a folder: which are sent, and what it tells of each of the others."""

import json
import os
import socket
from pathlib import Path

import pytest
from flask import Response

from tests.unit.cli import fake_service
from tests.unit.cli.conftest import Boxqueue, fill, lines_of
from tests.unit.cli.fake_service import FakeService
from wire.responses import Job

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)


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


def test_names_arrive_as_they_are(ingest: Boxqueue, service: FakeService, folder: Path) -> None:
    names = [r"C:\scans\a.png", 'a"b.png', "a%22b.png", "näh 文.png", " ;=.png"]
    fill(folder, *names)

    ingest()

    assert sorted(name for _, _, sent in service.uploads for name in sent) == sorted(names)


def test_pictures_are_told_by_their_first_bytes(ingest: Boxqueue, service: FakeService, folder: Path) -> None:
    sent = ["IMG_1.HEIC", "damaged.png", "photo.JFIF", "photo.jpe", "renamed.dat", "scan", "web.avif"]
    for name in sent:
        (folder / name).write_bytes(PNG)
    fill(folder, "notes.txt", "damaged.png")

    result = ingest("--json")

    assert sorted(job["source"] for job in service.jobs) == sent
    assert json.loads(result.stdout)["skips_by_ending"] == {"not_a_picture": {".txt": 1}}


def test_every_file_stands_in_the_results_with_its_status_and_code(
    ingest: Boxqueue, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(folder, "a.png", "bad.png", "notes.txt", "table.XML", "table.xml")
    (folder / "gone.png").symlink_to(folder / "nowhere")
    (folder / "scan").symlink_to("/proc/self/mem")  # a regular file, and reading its first bytes fails for every user
    (folder / "link").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.png")
    monkeypatch.setattr("cli.pictures.TOO_LARGE_BYTES", 1000)
    (folder / "large.png").write_bytes(PNG * 30)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket.png"))
        result = ingest("--output", tmp_path / "results.jsonl", "--json")

    lines = lines_of(tmp_path / "results.jsonl")
    assert {name: (line["status"], line["error"] and line["error"]["code"]) for name, line in lines.items()} == {
        "a.png": ("succeeded", None),
        "bad.png": ("failed", "picture_empty"),
        "gone.png": ("failed", "unreadable"),
        "large.png": ("failed", "picture_too_large"),
        "scan": ("failed", "unreadable"),
        "link": ("skipped", "not_a_file"),
        "pipe.png": ("skipped", "not_a_file"),
        "socket.png": ("skipped", "not_a_file"),
        "notes.txt": ("skipped", "not_a_picture"),
        "table.XML": ("skipped", "not_a_picture"),
        "table.xml": ("skipped", "not_a_picture"),
    }
    assert list(lines["gone.png"]) == list(Job.model_fields)
    assert lines["gone.png"]["error"]["message"] == "No such file or directory"
    facts = json.loads(result.stdout)
    assert (facts["failed"], facts["skipped"]) == (4, 6)
    assert facts["skips_by_ending"] == {
        "not_a_file": {"no ending": 1, ".png": 2},
        "not_a_picture": {".txt": 1, ".xml": 2},
    }
    assert facts["failures_by_ending"]["unreadable"] == {".png": 1, "no ending": 1}


def test_a_folder_in_which_nothing_can_be_read_is_not_called_one_without_pictures(
    ingest: Boxqueue, folder: Path, tmp_path: Path
) -> None:
    (folder / "scan").symlink_to(folder / "nowhere")

    result = ingest("--output", tmp_path / "results.jsonl")

    assert result.exit_code == 1
    assert lines_of(tmp_path / "results.jsonl")["scan"]["error"]["code"] == "unreadable"


def test_skipped_files_are_counted_by_code_and_ending(ingest: Boxqueue, folder: Path) -> None:
    fill(folder, "a.png", *(f"{number}.txt" for number in range(9)), *(f"{number}.xml" for number in range(3)))

    result = ingest()

    assert result.exit_code == 0, result.output
    assert "not_a_picture  12: 0.txt, 0.xml, 1.txt and 9 more (.txt 9, .xml 3)" in result.stdout


def test_endings_that_all_differ_are_counted_together(ingest: Boxqueue, folder: Path) -> None:
    fill(folder, "a.png", *(f"log.{number}" for number in range(200)))

    found = json.loads(ingest("--json").stdout)["skips_by_ending"]["not_a_picture"]

    assert len(found) == 51
    assert found["other endings"] == 150


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
    assert "100: 033.png" in result.stdout
    assert "and 97 more (.png 100)" in result.stdout


@pytest.mark.parametrize("empties", [True, False], ids=["a folder is emptied", "a folder vanishes"])
def test_files_that_vanish_before_their_folder_is_read_are_all_named(
    ingest: Boxqueue, service: FakeService, folder: Path, tmp_path: Path, empties: bool
) -> None:
    here, later = [f"{number:03}.png" for number in range(40)], [f"later/{number:03}.png" for number in range(100)]
    fill(folder, *here, *later)

    def vanish() -> Response:
        for name in later:
            (folder / name).unlink()
        if not empties:
            (folder / "later").rmdir()
        return fake_service.busy()

    service.faults = [vanish]
    result = ingest("--recursive", "--output", tmp_path / "results.jsonl")

    lines = lines_of(tmp_path / "results.jsonl")
    assert result.exit_code == 1
    assert sorted(lines) == [*here, *later]
    assert {lines[name]["error"]["code"] for name in later} == {"unreadable"}


def test_a_name_with_a_line_break_is_one_file(ingest: Boxqueue, service: FakeService, folder: Path) -> None:
    fill(folder, "a\nb.png")

    result = ingest()

    assert result.exit_code == 0, result.output
    assert [job["source"] for job in service.jobs] == ["a\ufffdb.png"]


def test_what_is_never_a_users_picture_is_left_out_and_counted(
    ingest: Boxqueue, service: FakeService, folder: Path, tmp_path: Path
) -> None:
    fill(folder, "a.png", "@eaDir/a.png/thumb.jpg", "@eaDir/b.png", "__MACOSX/._a.png", ".git/x.png", ".cache/x.png")
    fill(folder, "below/@eaDir/c.png", "._a.png", "._b.png", "thumbs.db", ".DS_Store", ".hidden.png")

    result = ingest("--recursive", "--json", "--output", tmp_path / "results.jsonl")

    assert [job["source"] for job in service.jobs] == ["a.png"]
    assert list(lines_of(tmp_path / "results.jsonl")) == ["a.png"]
    facts = json.loads(result.stdout)
    assert (facts["left_out"], facts["skipped"], facts["failed"]) == (10, 0, 0)
    kinds = {"@eaDir": 2, "__MACOSX": 1, ".git": 1, "._*": 2, "Thumbs.db": 1, ".DS_Store": 1, "hidden": 2}
    assert facts["left_out_by_kind"] == kinds


def test_a_hidden_folder_that_is_named_is_read(boxqueue: Boxqueue, service: FakeService, folder: Path) -> None:
    fill(folder, ".scans/a.png")

    result = boxqueue("ingest", folder / ".scans", "--model", "cards", "--url", service.url)

    assert result.exit_code == 0, result.output
    assert [job["source"] for job in service.jobs] == ["a.png"]


def test_a_folder_without_pictures_says_what_is_in_it(boxqueue: Boxqueue, service: FakeService, folder: Path) -> None:
    fill(folder, "a.txt", "b.txt", "c.xml")

    result = boxqueue("ingest", folder, "--model", "cards", "--url", service.url)

    assert result.exit_code == 1
    assert "among its 3 files (.txt 2, .xml 1)" in result.stderr
    assert service.batches == {}
