"""Average precision as COCO measures it, with intervals."""

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

from training.boxes import Box
from training.data.coco import entry, to_coco
from training.data.datasets import Example

Found = Sequence[tuple[str, float, Box]]
"""What a model found in one picture: label, score 0..1, and the box in pixels of the picture."""
Floats = npt.NDArray[np.float64]

RESAMPLES = 200
SURE = (2.5, 97.5)
"""Percentiles of the resamples between which an interval lies: those of 95 %."""
MOST_FOUND = 100
"""How many detections of a label count in a picture, best first: COCO's rule."""
IOU_50, IOU_75 = 0, 5
"""Indices of these two in COCO's ten IoU thresholds, 0.5, 0.55 … 0.95."""
RECALLS = 101
"""COCO reads the precision at 101 values of recall: 0, 0.01 … 1."""


@dataclass(frozen=True)
class Row:
    """Average precision of one label, or the mean over labels, each 0..1. None if there was nothing to find.

    `ap` is the mean over the IoU thresholds 0.5, 0.55 … 0.95; the intervals are those of 95 %.
    """

    label: str
    pictures: int
    """How many pictures are annotated for this label."""
    boxes: int
    ap50: float | None = None
    ap75: float | None = None
    ap: float | None = None
    ap50_interval: tuple[float, float] | None = None
    ap_interval: tuple[float, float] | None = None
    best_score: float | None = None
    """The lowest score of the set of detections with the highest F1 at IoU 0.5. None for the mean."""


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
    """All detections of one label, best score first: m of them, at T IoU thresholds."""

    scores: Floats
    picture: npt.NDArray[np.int64]
    """m, index of the picture."""
    right: npt.NDArray[np.bool_]
    """T × m: matches a box that no better detection matches."""
    counts: npt.NDArray[np.bool_]
    """T × m: False for detections on an unclear place, which do not count."""
    boxes: npt.NDArray[np.int64]
    """n: boxes of this label in each picture."""


def score(examples: Sequence[Example], labels: Sequence[str], found: Sequence[Found], seed: int = 0) -> Report:
    """Scores what was found in each of the examples, in their order.

    A label counts only in pictures that are annotated for it, and nothing counts on unclear places. The intervals come
    from `RESAMPLES` sets of pictures drawn with replacement (bootstrap), the same for the same seed.
    """
    evaluation = _evaluated(examples, labels, found)
    precision = evaluation.eval["precision"][:, :, :, 0, 0]  # T × 101 × labels, -1 where there was nothing to find
    draws = np.random.default_rng(seed).multinomial(len(examples), [1 / len(examples)] * len(examples), RESAMPLES)
    rows: list[Row] = []
    measured: list[tuple[Floats, Floats]] = []
    matched = [_matches(evaluation, number, len(examples)) for number in range(len(labels))]
    for number, (label, matches) in enumerate(zip(labels, matched, strict=True)):
        at = precision[:, :, number].mean(axis=1)  # T
        again = np.array([average_precision(matches, draw) for draw in draws])  # RESAMPLES × T
        known = sum(label in example.known for example in examples)
        boxes = int(matches.boxes.sum())
        rows.append(_row(label, known, boxes, at, again, _best_score(matches)) if boxes else Row(label, known, 0))
        if boxes:
            measured.append((at, again))
    mean = Row("mean", len(examples), 0)
    if measured:
        ats, agains = map(np.stack, zip(*measured, strict=True))
        # The mean of a resample leaves out labels of which it has no boxes.
        again = np.ma.masked_invalid(agains).mean(axis=0).filled(np.nan)
        mean = _row("mean", len(examples), sum(row.boxes for row in rows), ats.mean(axis=0), again)
    return Report(tuple(rows), mean, _pictures(examples, rows, matched))


def _evaluated(examples: Sequence[Example], labels: Sequence[str], found: Sequence[Found]) -> Any:
    """COCO's evaluation, accumulated. What pycocotools prints is dropped."""
    truth = to_coco(examples, labels)
    results: list[dict[str, Any]] = []
    for image_id, (example, of_picture) in enumerate(zip(examples, found, strict=True), start=1):
        for label, certainty, box in of_picture:
            if label in example.known and label in labels:
                result = entry(len(results) + 1, image_id, labels.index(label) + 1, box)
                results.append(result | {"score": certainty})
    # A label that is not annotated in a picture is neither present nor absent there.
    truth["annotations"] = [
        one for one in truth["annotations"] if labels[one["category_id"] - 1] in examples[one["image_id"] - 1].known
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(_coco(truth), _coco(truth | {"annotations": results}), "bbox")
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
    """The detections of the number-th label, as COCO matched them picture by picture."""
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
    """T: average precision as COCO accumulates it, with picture i counted draw[i] times. NaN if there are no boxes.

    A detection that counts k times makes k consecutive points of the curve, of which only the last can matter.
    """
    overlaps = len(matches.right)
    total = int(draw @ matches.boxes)
    if total == 0:
        return np.full(overlaps, np.nan)
    times = draw[matches.picture]
    right = np.cumsum(matches.right * times, axis=1)
    detections = np.cumsum(matches.counts * times, axis=1)
    precision = right / np.maximum(1, detections)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    # After the last detection the precision is 0.
    best = np.concatenate([best, np.zeros((overlaps, 1))], axis=1)
    recalls = np.linspace(0, 1, RECALLS)
    return np.array([best[t, np.searchsorted(right[t] / total, recalls)].mean() for t in range(overlaps)])


def _row(label: str, pictures: int, boxes: int, at: Floats, again: Floats, best_score: float | None = None) -> Row:
    """`at`: T; `again`: resamples × T."""
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
    """The interval of the resamples that have boxes."""
    there = values[~np.isnan(values)]
    if not there.size:
        return None
    low, high = np.percentile(there, SURE)
    return float(low), float(high)


def _best_score(matches: _Matches) -> float | None:
    """The score at which F1 = 2 right / (detections + boxes) is highest, at IoU 0.5."""
    right, detections = np.cumsum(matches.right[IOU_50]), np.cumsum(matches.counts[IOU_50])
    if not right.size or not right[-1]:
        return None
    return float(matches.scores[np.argmax(2 * right / (detections + matches.boxes.sum()))])


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
