"""How good answers are: average precision as COCO measures it, with how far it might be off."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from training.cards.rendering.sheet import Box
from training.data.datasets import Example, to_coco

Found = Sequence[tuple[str, float, Box]]
"""What a model found in one picture: label, score 0..1, and the box in pixels of the picture."""
Floats = npt.NDArray[np.float64]

RESAMPLES = 200
SURE = (2.5, 97.5)
"""Percentiles of the resamples: of 100 sets of pictures like these, 95 would score in between."""
MOST_FOUND = 100
"""Of a picture and label, so many answers count, best first: COCO's rule."""
IOU_50, IOU_75 = 0, 5
"""Where COCO's ten thresholds of overlap, 0.5, 0.55 … 0.95, have these two."""
EVERY_RECALL = 101
"""COCO reads the precision at recall 0, 0.01 … 1."""


@dataclass(frozen=True)
class Row:
    """Average precision of one label, or the mean over labels, each 0..1. None where there was nothing to find.

    `ap` is the mean over the IoU thresholds 0.5, 0.55 … 0.95; the intervals hold with 95 %.
    """

    label: str
    pictures: int
    """How many say whether it is in them."""
    boxes: int
    ap50: float | None
    ap75: float | None
    ap: float | None
    ap50_interval: tuple[float, float] | None
    ap_interval: tuple[float, float] | None
    best_score: float | None
    """From this score on, answers have the best balance of precision and recall (F1 at IoU 0.5). None for the mean."""


@dataclass(frozen=True)
class PictureRow:
    """One picture, at each label's `best_score` and IoU 0.5."""

    file: Path
    boxes: int
    missed: int
    wrong: int


@dataclass(frozen=True)
class Report:
    """A row for each label in their order, the mean over those that have boxes, and the pictures, worst first."""

    rows: tuple[Row, ...]
    mean: Row
    pictures: tuple[PictureRow, ...]


@dataclass(frozen=True)
class _Matches:
    """All answers of one label, best score first: m of them, at T overlaps."""

    scores: Floats
    picture: npt.NDArray[np.int64]
    """m, index of the picture."""
    right: npt.NDArray[np.bool_]
    """T × m: lies on a box that no better answer has."""
    counts: npt.NDArray[np.bool_]
    """T × m: False on an unclear place."""
    boxes: npt.NDArray[np.int64]
    """n: boxes of this label in each picture."""


def score(examples: Sequence[Example], labels: Sequence[str], found: Sequence[Found], seed: int = 0) -> Report:
    """Scores what was found in each of the examples, in their order.

    A label counts only in pictures that know it, other labels never, and nothing counts on unclear places. The
    intervals come from `RESAMPLES` sets of pictures drawn with replacement, the same for the same seed.
    """
    evaluation = _evaluated(examples, labels, found)
    precision = evaluation.eval["precision"][:, :, :, 0, 0]  # T × 101 × labels, -1 where there was nothing to find
    draws = np.random.default_rng(seed).multinomial(len(examples), [1 / len(examples)] * len(examples), RESAMPLES)
    rows: list[Row] = []
    drawn: list[Floats] = []
    matched = [_matches(evaluation, number, len(examples)) for number in range(len(labels))]
    for number, label in enumerate(labels):
        matches = matched[number]
        at = precision[:, :, number].mean(axis=1)  # T
        again = np.array([average_precision(matches, draw) for draw in draws])  # RESAMPLES × T
        drawn.append(again)
        known = sum(label in example.known for example in examples)
        rows.append(_row(label, known, int(matches.boxes.sum()), at, again, _best_score(matches)))
    return Report(tuple(rows), _mean(rows, drawn, len(examples)), _pictures(examples, rows, matched))


def _evaluated(examples: Sequence[Example], labels: Sequence[str], found: Sequence[Found]) -> Any:
    """COCO's evaluation, accumulated. pycocotools says on the terminal what it does; here it is quiet."""
    truth = to_coco(examples, labels)
    answers: list[dict[str, Any]] = []
    for image_id, (example, of_picture) in enumerate(zip(examples, found, strict=True), start=1):
        for label, certainty, box in of_picture:
            if label in example.known and label in labels:
                wide, high = box.x2 - box.x1, box.y2 - box.y1
                answers.append(
                    {
                        "id": len(answers) + 1,
                        "image_id": image_id,
                        "category_id": labels.index(label) + 1,
                        "bbox": [box.x1, box.y1, wide, high],
                        "area": wide * high,
                        "score": certainty,
                    }
                )
    # What nobody looked for in a picture is neither there nor missing.
    truth["annotations"] = [
        entry
        for entry in truth["annotations"]
        if labels[entry["category_id"] - 1] in examples[entry["image_id"] - 1].known
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(_coco(truth), _coco(truth | {"annotations": answers}), "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [MOST_FOUND]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _coco(dataset: dict[str, Any]) -> Any:
    made = COCO()
    made.dataset = dataset
    made.createIndex()
    return made


def _matches(evaluation: Any, number: int, n: int) -> _Matches:
    """The answers of the number-th label, as COCO matched them picture by picture."""
    of_pictures = evaluation.evalImgs[number * n : (number + 1) * n]
    boxes = np.array([0 if one is None else int((one["gtIgnore"] == 0).sum()) for one in of_pictures], np.int64)
    kept = [one for one in of_pictures if one is not None]
    overlaps = len(evaluation.params.iouThrs)
    scores = np.array([certainty for one in kept for certainty in one["dtScores"]], np.float64)
    picture = np.array([one["image_id"] - 1 for one in kept for _ in one["dtScores"]], np.int64)
    ids = np.concatenate([np.zeros((overlaps, 0)), *(one["dtMatches"] for one in kept)], axis=1)
    ignored = np.concatenate([np.zeros((overlaps, 0)), *(one["dtIgnore"] for one in kept)], axis=1).astype(bool)
    order = np.argsort(-scores, kind="mergesort")  # as COCO sorts
    return _Matches(scores[order], picture[order], ((ids > 0) & ~ignored)[:, order], ~ignored[:, order], boxes)


def average_precision(matches: _Matches, draw: npt.NDArray[np.int64]) -> Floats:
    """T: as COCO accumulates it, with picture i there draw[i] times; NaN where there is nothing to find.

    An answer that is there k times is k points of the curve in a row, of which only the last can matter.
    """
    overlaps = len(matches.right)
    total = int(draw @ matches.boxes)
    if total == 0:
        return np.full(overlaps, np.nan)
    times = draw[matches.picture]
    right = np.cumsum(matches.right * times, axis=1)
    answers = np.cumsum(matches.counts * times, axis=1)
    precision = right / np.maximum(1, answers)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    # Behind the last answer the precision is 0.
    best = np.concatenate([best, np.zeros((overlaps, 1))], axis=1)
    recalls = np.linspace(0, 1, EVERY_RECALL)
    return np.array([best[t, np.searchsorted(right[t] / total, recalls)].mean() for t in range(overlaps)])


def _row(label: str, pictures: int, boxes: int, at: Floats, again: Floats, best_score: float | None) -> Row:
    """`at`: T; `again`: resamples × T."""
    if not boxes:
        return Row(label, pictures, 0, None, None, None, None, None, None)
    return Row(
        label,
        pictures,
        boxes,
        float(at[IOU_50]),
        float(at[IOU_75]),
        float(at.mean()),
        _interval(again[:, IOU_50]),
        _interval(again.mean(axis=1)),
        best_score,
    )


def _interval(values: Floats) -> tuple[float, float] | None:
    """Of those resamples in which there was something to find."""
    there = values[~np.isnan(values)]
    if not there.size:
        return None
    low, high = np.percentile(there, SURE)
    return float(low), float(high)


def _mean(rows: Sequence[Row], drawn: Sequence[Floats], pictures: int) -> Row:
    there = [number for number, row in enumerate(rows) if row.boxes]
    boxes = sum(row.boxes for row in rows)
    if not there:
        return Row("mean", pictures, 0, None, None, None, None, None, None)
    # labels × resamples × T; a resample without boxes of a label is a mean over the others.
    again = np.ma.masked_invalid(np.stack([drawn[number] for number in there])).mean(axis=0).filled(np.nan)
    at50, at75, at = (
        float(np.mean([getattr(rows[number], name) for number in there])) for name in ("ap50", "ap75", "ap")
    )
    return Row(
        "mean", pictures, boxes, at50, at75, at, _interval(again[:, IOU_50]), _interval(again.mean(axis=1)), None
    )


def _best_score(matches: _Matches) -> float | None:
    """The score at which F1 = 2 right / (answers + boxes) is highest, at IoU 0.5."""
    right, answers = np.cumsum(matches.right[IOU_50]), np.cumsum(matches.counts[IOU_50])
    if not right.size or not right[-1]:
        return None
    return float(matches.scores[np.argmax(2 * right / (answers + matches.boxes.sum()))])


def _pictures(examples: Sequence[Example], rows: Sequence[Row], matched: Sequence[_Matches]) -> tuple[PictureRow, ...]:
    n = len(examples)
    boxes, hit, wrong = (np.zeros(n, np.int64) for _ in range(3))
    for row, matches in zip(rows, matched, strict=True):
        shown = matches.scores >= (2.0 if row.best_score is None else row.best_score)
        boxes += matches.boxes
        right = matches.right[IOU_50]
        hit += np.bincount(matches.picture[shown & right], minlength=n)
        wrong += np.bincount(matches.picture[shown & ~right & matches.counts[IOU_50]], minlength=n)
    made = [PictureRow(e.file, int(boxes[i]), int(boxes[i] - hit[i]), int(wrong[i])) for i, e in enumerate(examples)]
    return tuple(sorted(made, key=lambda one: (-one.missed - one.wrong, one.file)))
