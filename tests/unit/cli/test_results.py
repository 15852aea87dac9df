"""The results of a demo: the table, and the files with the drawn pictures."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli.errors import CommandError, Refused, RequestFailed
from cli.results import Result, results_of, table_of, write_annotated


class Pictures:
    """Returns the same drawn picture for every job, and raises `refusal` for a job that has the link `/refused`."""

    def __init__(self, media_type: str, refusal: CommandError | None = None) -> None:
        self._media_type = media_type
        self._refusal = refusal

    def download(self, path: str) -> tuple[bytes, str]:
        if self._refusal and path == "/refused":
            raise self._refusal
        return path.encode(), self._media_type


def job(source: str, **changes: Any) -> str:
    found = [("textbox", 0.9), ("image", 0.8), ("textbox", 0.7), ("rating", 0.6), ("checkbox", 0.5)]
    answered = {
        "id": "job-1",
        "source": source,
        "model": "cards",
        "status": "succeeded",
        "detections": [{"label": label, "score": score} for label, score in found],
        "error": None,
        "timings_ms": {"queued": 900, "decode": 3, "inference": 15.4, "total": 920},
        "links": {"annotated": "/drawn"},
    }
    return json.dumps(answered | changes)


def shown(*lines: str) -> list[str]:
    return rows_of(results_of(lines))


def rows_of(results: list[Result]) -> list[str]:
    paper = io.StringIO()
    Console(file=paper, width=160).print(table_of(results))
    return [line.rstrip() for line in paper.getvalue().splitlines()]


def test_a_label_is_named_once_with_its_best_score() -> None:
    assert shown(job("a.png"))[1].split(maxsplit=3)[3] == "textbox 0.90 ×2, image 0.80, rating 0.60  18"


def test_a_failed_picture_shows_why() -> None:
    failed = job("b.png", status="failed", detections=None, error={"code": "picture_empty", "message": "It is empty."})

    assert "picture_empty: It is empty." in shown(failed)[1]


def test_a_picture_without_detections_is_no_failure() -> None:
    assert shown(job("c.png", detections=[]))[1].split()[:3] == ["c.png", "cards", "0"]


@pytest.mark.parametrize(
    ("source", "media_type", "file"),
    [
        ("card.png", "image/png", "card.png"),
        ("below/card.JPG", "image/jpeg", "below/card.JPG"),
        ("card.bmp", "image/png", "card.bmp.png"),
        ("card.webp", "image/webp", "card.webp"),
        ("card", "image/jpeg", "card.jpg"),
        ("../../etc/card.png", "image/png", "etc/card.png"),
    ],
)
def test_drawn_pictures_stay_below_the_folder(tmp_path: Path, source: str, media_type: str, file: str) -> None:
    write_annotated(Pictures(media_type), results_of([job(source)]), tmp_path / "out")  # type: ignore[arg-type]

    (written,) = (path for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert written == tmp_path / "out" / "cards" / file


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (Refused(422, "picture_too_costly", "Drawing it takes too much memory"), "(picture_too_costly)"),
        (RequestFailed("The service failed 3 times: internal_error."), "The service failed 3 times"),
    ],
)
def test_a_picture_that_is_not_drawn_says_why_and_costs_no_other(
    tmp_path: Path, refusal: CommandError, reason: str
) -> None:
    results = results_of([job("a.png", links={"annotated": "/refused"}), job("b.png")])

    results = write_annotated(Pictures("image/png", refusal), results, tmp_path / "out")  # type: ignore[arg-type]

    _, first, second = rows_of(results)
    assert "textbox 0.90 ×2" in first
    assert "not drawn" in first
    assert reason in first
    assert "not drawn" not in second
    assert [path.name for path in (tmp_path / "out").rglob("*.png")] == ["b.png"]


def test_a_picture_that_cant_be_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "out" / "cards").mkdir(parents=True)
    (tmp_path / "out" / "cards" / "below").touch()

    results = write_annotated(Pictures("image/png"), results_of([job("below/a.png")]), tmp_path / "out")  # type: ignore[arg-type]

    assert "Can't write" in results[0].not_drawn


def test_pictures_whose_names_differ_by_an_ending_do_not_replace_each_other(tmp_path: Path) -> None:
    names = ("scan", "scan.png", "scan.png.png")

    write_annotated(Pictures("image/png"), results_of(map(job, names)), tmp_path / "out")  # type: ignore[arg-type]

    assert len(list((tmp_path / "out" / "cards").iterdir())) == 3
