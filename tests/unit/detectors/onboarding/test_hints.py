"""`check` gives a hint where the answers of a model look odd, and none where they do not."""

import re
from pathlib import Path

import pytest

from detectors.catalogue import Defaults, Input, ModelEntry, Output
from detectors.onboarding.hints import hints_about
from detectors.pictures.drawing import Row

WIDTH, HEIGHT = 640, 480


def entry(*, nms: float | None = None, min_score: float | None = None) -> ModelEntry:
    return ModelEntry(
        name="m",
        runtime="r",
        format="f",
        file=Path("m"),
        sha256="0" * 64,
        labels=("a", "b"),
        input=Input(width=320, height=320),
        output=Output(nms=nms),
        defaults=Defaults(min_score=min_score),
    )


def row(score: float, *box: float, class_id: int = 0) -> Row:
    x1, y1, x2, y2 = box
    return "ab"[class_id], class_id, score, x1, y1, x2, y2


APART = [row(0.9 - n / 50, 40 * n, 10, 40 * n + 30, 200) for n in range(12)]
REPEATED = [row(0.9 - n / 50, 100, 100, 200 + n, 200) for n in range(9)] + [row(0.3, 400, 300, 420, 330)]


@pytest.mark.parametrize(
    ("found", "nms", "hint"),
    [
        (APART, None, None),
        (REPEATED, 0.5, None),
        (REPEATED[:4], None, None),
        ([row(0.9 - n / 50, 100, 100, 200, 200, class_id=n % 2) for n in range(2)] + APART, None, None),
        (REPEATED, None, r"8 of 10 boxes lie on a better box of their class\. .* add nms = 0\.5"),
        (
            [row(0.501, 20 * n, 10, 20 * n + 15, 90) for n in range(25)],
            None,
            r"All 25 scores are about 0\.501: check which output",
        ),
        ([row(0.9 - n / 9, 0, 0, 1.5, 1.8) for n in range(6)], 0.5, r'write coordinates = "normalised"'),
        (
            [row(0.9 - n / 9, 0, 0, WIDTH, HEIGHT) for n in range(6)],
            0.5,
            r"cover the whole picture: check box_order and coordinates",
        ),
    ],
)
def test_only_odd_answers_get_a_hint(found: list[Row], nms: float | None, hint: str | None) -> None:
    hints = hints_about(entry(nms=nms), found, found[0][2], WIDTH, HEIGHT)

    if hint is None:
        assert hints == []
    else:
        [only] = hints
        assert re.search(hint, only), only


def test_where_nothing_is_found_the_highest_score_is_told() -> None:
    [hint] = hints_about(entry(min_score=0.25), [], 0.031, WIDTH, HEIGHT)

    assert hint.startswith("Nothing was found: the highest score is 0.031, and detections are shown from 0.25 on.")
