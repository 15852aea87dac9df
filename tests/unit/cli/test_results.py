"""The results of a demo: the table, and the files with the drawn pictures."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli.results import results_of, table_of, write_annotated


class Pictures:
    """Returns the same drawn picture for every job."""

    def __init__(self, media_type: str) -> None:
        self._media_type = media_type

    def download(self, path: str) -> tuple[bytes, str]:
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
    paper = io.StringIO()
    Console(file=paper, width=120).print(table_of(results_of(lines)))
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
        ("../../etc/card.png", "image/png", "etc/card.png"),
    ],
)
def test_drawn_pictures_stay_below_the_folder(tmp_path: Path, source: str, media_type: str, file: str) -> None:
    write_annotated(Pictures(media_type), results_of([job(source)]), tmp_path / "out")  # type: ignore[arg-type]

    (written,) = (path for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert written == tmp_path / "out" / "cards" / file
