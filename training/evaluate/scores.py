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
from training.data.coco import box_entry, to_coco
from training.data.datasets import Example

Predictions = Sequence[tuple[str, float, Box]]
"""The detections of a model in one picture: label, score 0..1, and the box in pixels of the picture."""
Floats = npt.NDArray[np.float64]

RESAMPLES = 200
INTERVAL_PERCENTILES = (2.5, 97.5)
"""Percentiles of the resamples at the ends of a 95 % interval."""
MAX_DETECTIONS = 100
"""COCO's limit: only this many detections of a label in a picture count, best first."""
IOU_50, IOU_75 = 0, 5
"""Indices of the thresholds 0.5 and 0.75 in COCO's ten IoU thresholds, 0.5, 0.55 … 0.95."""
RECALL_LEVELS = 101
"""Number of recalls at which COCO reads the precision: 0, 0.01 … 1."""


@dataclass(frozen=True)
class Row:
    """Average precision of one label, or the mean over labels, each 0..1. None if there are no boxes.

    `ap` is the mean over the IoU thresholds 0.5, 0.55 … 0.95; the intervals are those of 95 %.
    """

    label: str
    pictures: int
    """Number of pictures that are annotated for this label."""
    boxes: int
    ap50: float | None = None
    ap75: float | None = None
    ap: float | None = None
    ap50_interval: tuple[float, float] | None = None
    ap_interval: tuple[float, float] | None = None
    best_score: float | None = None
    """The score threshold with the highest F1 at IoU 0.5. None for the mean."""


@dataclass(frozen=True)
class PictureRow:
    """The errors in one picture at IoU 0.5, with each label's `best_score` as the threshold."""

    file: Path
    boxes: int
    missed: int
    wrong: int


@dataclass(frozen=True)
class Report:
    """A row for each label in order, the mean over the labels that have boxes, and the pictures, most errors first."""

    rows: tuple[Row, ...]
    mean: Row
    pictures: tuple[PictureRow, ...]


@dataclass(frozen=True)
class _Matches:
    """All detections of one label, best score first: m of them, at T IoU thresholds."""

    scores: Floats
    picture: npt.NDArray[np.int64]
    """m: index of the picture."""
    correct: npt.NDArray[np.bool_]
    """T × m: whether the detection matches a box that no detection with a higher score matches."""
    counted: npt.NDArray[np.bool_]
    """T × m: False for detections on an unclear place, which are not counted."""
    boxes: npt.NDArray[np.int64]
    """n: number of boxes of this label in each picture."""


def score(examples: Sequence[Example], labels: Sequence[str], found: Sequence[Predictions], seed: int = 0) -> Report:
    """Scores the detections in the examples. `found` is in the order of the examples.

    A label counts only in pictures that are annotated for it. Detections on unclear places do not count. The intervals
    come from `RESAMPLES` sets of pictures drawn with replacement (bootstrap). The same seed gives the same intervals.
    """
    evaluation = _evaluate(examples, labels, found)
    precision = evaluation.eval["precision"][:, :, :, 0, 0]  # T × 101 × labels, -1 if there are no boxes
    draws = np.random.default_rng(seed).multinomial(len(examples), [1 / len(examples)] * len(examples), RESAMPLES)
    rows: list[Row] = []
    measured: list[tuple[Floats, Floats]] = []
    matched = [_matches(evaluation, number, len(examples)) for number in range(len(labels))]
    for number, (label, matches) in enumerate(zip(labels, matched, strict=True)):
        ap = precision[:, :, number].mean(axis=1)  # T
        resampled = np.array([average_precision(matches, draw) for draw in draws])  # RESAMPLES × T
        known = sum(label in example.known for example in examples)
        boxes = int(matches.boxes.sum())
        rows.append(_row(label, known, boxes, ap, resampled, _best_score(matches)) if boxes else Row(label, known, 0))
        if boxes:
            measured.append((ap, resampled))
    mean = Row("mean", len(examples), 0)
    if measured:
        ap, resampled = map(np.stack, zip(*measured, strict=True))
        # The mean of a resample leaves out labels that have no boxes in it.
        resampled = np.ma.masked_invalid(resampled).mean(axis=0).filled(np.nan)
        mean = _row("mean", len(examples), sum(row.boxes for row in rows), ap.mean(axis=0), resampled)
    return Report(tuple(rows), mean, _errors(examples, rows, matched))


def _evaluate(examples: Sequence[Example], labels: Sequence[str], found: Sequence[Predictions]) -> Any:
    """COCO's evaluation, accumulated. The output of pycocotools is discarded."""
    truth = to_coco(examples, labels)
    results: list[dict[str, Any]] = []
    for image_id, (example, of_picture) in enumerate(zip(examples, found, strict=True), start=1):
        for label, certainty, box in of_picture:
            if label in example.known and label in labels:
                result = box_entry(len(results) + 1, image_id, labels.index(label) + 1, box)
                results.append(result | {"score": certainty})
    # If a label is not annotated in a picture, it is unknown whether the picture has such objects.
    truth["annotations"] = [
        one for one in truth["annotations"] if labels[one["category_id"] - 1] in examples[one["image_id"] - 1].known
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(_coco(truth), _coco(truth | {"annotations": results}), "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [MAX_DETECTIONS]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _coco(dataset: dict[str, Any]) -> Any:
    coco = COCO()
    coco.dataset = dataset
    coco.createIndex()
    return coco


def _matches(evaluation: Any, number: int, n: int) -> _Matches:
    """The detections of the number-th label, as COCO matched them picture by picture."""
    of_pictures = evaluation.evalImgs[number * n : (number + 1) * n]
    boxes = np.array([0 if one is None else int((one["gtIgnore"] == 0).sum()) for one in of_pictures], np.int64)
    evaluated = [one for one in of_pictures if one is not None]
    overlaps = len(evaluation.params.iouThrs)
    scores = np.array([certainty for one in evaluated for certainty in one["dtScores"]], np.float64)
    picture = np.array([one["image_id"] - 1 for one in evaluated for _ in one["dtScores"]], np.int64)
    ids = np.concatenate([np.zeros((overlaps, 0)), *(one["dtMatches"] for one in evaluated)], axis=1)
    ignored = np.concatenate([np.zeros((overlaps, 0)), *(one["dtIgnore"] for one in evaluated)], axis=1).astype(bool)
    order = np.argsort(-scores, kind="mergesort")  # as COCO sorts
    return _Matches(scores[order], picture[order], ((ids > 0) & ~ignored)[:, order], ~ignored[:, order], boxes)


def average_precision(matches: _Matches, draw: npt.NDArray[np.int64]) -> Floats:
    """[T]: average precision as COCO accumulates it, with picture i counted draw[i] times. NaN if there are no boxes.

    A detection that counts k times makes k consecutive points of the curve. Only the last of them can matter.
    """
    overlaps = len(matches.correct)
    total = int(draw @ matches.boxes)
    if total == 0:
        return np.full(overlaps, np.nan)
    times = draw[matches.picture]
    correct = np.cumsum(matches.correct * times, axis=1)
    detections = np.cumsum(matches.counted * times, axis=1)
    precision = correct / np.maximum(1, detections)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    # After the last detection the precision is 0.
    best = np.concatenate([best, np.zeros((overlaps, 1))], axis=1)
    recalls = np.linspace(0, 1, RECALL_LEVELS)
    return np.array([best[t, np.searchsorted(correct[t] / total, recalls)].mean() for t in range(overlaps)])


def _row(label: str, pictures: int, boxes: int, ap: Floats, resampled: Floats, best: float | None = None) -> Row:
    """`ap`: T; `resampled`: RESAMPLES × T; `best`: the best score."""
    return Row(
        label,
        pictures,
        boxes,
        float(ap[IOU_50]),
        float(ap[IOU_75]),
        float(ap.mean()),
        _interval(resampled[:, IOU_50]),
        _interval(resampled.mean(axis=1)),
        best,
    )


def _interval(values: Floats) -> tuple[float, float] | None:
    """The 95 % interval over the resamples that have boxes. None if no resample has any."""
    valid = values[~np.isnan(values)]
    if not valid.size:
        return None
    low, high = np.percentile(valid, INTERVAL_PERCENTILES)
    return float(low), float(high)


def _best_score(matches: _Matches) -> float | None:
    """The score at which F1 = 2 correct / (detections + boxes) is highest, at IoU 0.5."""
    correct, detections = np.cumsum(matches.correct[IOU_50]), np.cumsum(matches.counted[IOU_50])
    if not correct.size or not correct[-1]:
        return None
    return float(matches.scores[np.argmax(2 * correct / (detections + matches.boxes.sum()))])


def _errors(examples: Sequence[Example], rows: Sequence[Row], matched: Sequence[_Matches]) -> tuple[PictureRow, ...]:
    n = len(examples)
    boxes, hit, wrong = (np.zeros(n, np.int64) for _ in range(3))
    for row, matches in zip(rows, matched, strict=True):
        shown = matches.scores >= (2.0 if row.best_score is None else row.best_score)
        boxes += matches.boxes
        correct = matches.correct[IOU_50]
        hit += np.bincount(matches.picture[shown & correct], minlength=n)
        wrong += np.bincount(matches.picture[shown & ~correct & matches.counted[IOU_50]], minlength=n)
    result = [PictureRow(e.file, int(boxes[i]), int(boxes[i] - hit[i]), int(wrong[i])) for i, e in enumerate(examples)]
    return tuple(sorted(result, key=lambda one: (-one.missed - one.wrong, one.file)))
