"""From what a model writes to detections: scores, classes, non-maximum suppression, and boxes in pixels of the picture.

Everything is NumPy, and the same for every runtime.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.boxes import Floats, Integers, boxes_in_picture, clipped, non_maximum_suppression
from detectors.catalogue import ModelEntry
from detectors.errors import DetectionFailed, ScoreOutOfRange
from detectors.pictures.decode import DecodedPicture
from detectors.pictures.drawing import Row

SCORE_TOLERANCE = 1e-3
"""Scores of half precision may lie outside 0 to 1 by this much."""
LARGEST_CLASS = 2**31
MAX_INPUTS = 4.0
"""A coordinate may be larger than the model's input, but not this many times in every box."""
MIN_SIDE = 0.01
"""Boxes are rounded to hundredths of a pixel, so a narrower one would have no area."""


@dataclass(frozen=True, slots=True)
class Detections:
    """What a model found in one picture, sorted by score, highest first."""

    boxes: Floats
    """k × 4: x1, y1, x2, y2 in pixels of the detector's picture, clipped to it, x1 ≤ x2 and y1 ≤ y2."""
    scores: Floats
    """k, each 0 to 1, at least the entry's floor score."""
    class_ids: Integers
    """k, indices into the entry's labels."""

    def rows(self, picture: DecodedPicture, labels: Sequence[str]) -> Iterator[Row]:
        """Each detection with its label, and its box in pixels of the original picture."""
        boxes = picture.to_original(self.boxes).tolist()
        for box, score, class_id in zip(boxes, self.scores.tolist(), self.class_ids.tolist(), strict=True):
            yield labels[class_id], class_id, score, *box


def postprocess(entry: ModelEntry, outputs: list[npt.NDArray[Any]], width: int, height: int) -> Detections:
    """The detections in a picture of `width` × `height` pixels.

    outputs: those of `entry.output.wanted`, in that order, for this picture alone. Rows that count for nothing may have
    any numbers: those after the model's count, below the floor score, or of a class below the first one. Boxes outside
    the picture, or without area in it, are left out.

    Raises `DetectionFailed` if the outputs make no sense: wrong shapes, numbers that are not finite, scores that are no
    probabilities (`ScoreOutOfRange`), or a class without a label.
    """
    boxes, scores, classes = _split_outputs(entry, outputs)
    rows, scores, ids = _select(entry, scores, classes)
    _require_coordinates(entry, boxes[rows])
    # Stable, so that equal scores keep the model's own order.
    order = np.argsort(-scores, kind="stable")
    rows, scores, labels = rows[order], scores[order], _label_indices(entry, ids[order])
    known = labels >= 0
    rows, scores, labels = rows[known], scores[known], labels[known]
    written = boxes[rows]
    whole = boxes_in_picture(written, width, height, entry.input, entry.output)
    boxes = clipped(whole, width, height)
    visible = (boxes[:, 2:] - boxes[:, :2] >= MIN_SIDE).all(axis=1)
    if not visible.any():
        _require_near(entry, written)
    whole, boxes, scores, labels = whole[visible], boxes[visible], scores[visible], labels[visible]
    if entry.output.nms is not None:
        # Of whole boxes, as the predictors of the YOLO family do: what lies outside the picture tells objects apart.
        kept = non_maximum_suppression(whole, None if entry.output.nms_across_classes else labels, entry.output.nms)
        boxes, scores, labels = boxes[kept], scores[kept], labels[kept]
    return Detections(boxes, scores, labels)


def _split_outputs(
    entry: ModelEntry, outputs: list[npt.NDArray[Any]]
) -> tuple[Floats, Floats, npt.NDArray[np.float64]]:
    """Boxes k × 4, scores k × c or k after their activation, and class ids k (zeros if the scores have columns); only
    the rows that the model counts. Raises `DetectionFailed`."""
    output = entry.output
    objectness = None
    if output.columns is not None:
        boxes, scores, found, objectness = _split_columns(entry, outputs[0])
        others = [*([] if found is None else [found]), *outputs[1:]]
    else:
        boxes, scores, *others = outputs
    per_class = output.per_class
    classes = np.zeros(len(scores)) if per_class else others.pop(0)
    k = len(scores)
    if boxes.shape != (k, 4) or scores.ndim != 1 + per_class or classes.shape != (k,):
        shapes = f"scores {scores.shape}" + ("" if per_class else f" and classes {classes.shape}")
        raise DetectionFailed(f"The model {entry.name} gave boxes {boxes.shape}, {shapes} for a picture.")
    if per_class:
        _check_columns(entry, scores.shape[1])
    if others:
        count = others[0]
        if count.size != 1 or not 0 <= count.item() < np.inf:
            raise DetectionFailed(f"The model {entry.name} counted {count} rows.")
        # The rows after the count are padding.
        k = int(count.item())
    probabilities = _activate(scores[:k].astype(np.float32), output.activation)
    if objectness is not None:
        probabilities = probabilities * _activate(objectness[:k].astype(np.float32), output.activation)[:, None]
    return boxes[:k].astype(np.float32), probabilities, classes[:k].astype(np.float64)


def _split_columns(
    entry: ModelEntry, tensor: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any] | None, npt.NDArray[Any] | None]:
    """Boxes k × 4, scores k × c or k, class ids k or None, and objectness k or None, of the one tensor that has them.
    Raises `DetectionFailed`."""
    columns = entry.output.columns
    assert columns is not None
    rows = tensor.T if entry.output.transposed else tensor
    if rows.ndim != 2 or rows.shape[1] < columns.number:
        raise DetectionFailed(
            f"The model {entry.name} gave {' × '.join(map(str, tensor.shape))} numbers for a picture, but its entry "
            f"needs rows of at least {columns.number}" + (", transposed." if entry.output.transposed else ".")
        )
    boxes = rows[:, slice(*columns.boxes)]
    objectness = None if columns.objectness is None else rows[:, columns.objectness]
    if columns.class_scores is not None:
        return boxes, rows[:, slice(*columns.class_scores)], None, objectness
    assert columns.scores is not None
    classes = None if columns.classes is None else rows[:, columns.classes]
    return boxes, rows[:, columns.scores], classes, objectness


def _check_columns(entry: ModelEntry, columns: int) -> None:
    """A list of labels has to name every column; labels with ids may leave some out. Raises `DetectionFailed`."""
    last = columns - 1 - (entry.output.background == "last")
    highest = max(entry.class_ids)
    if highest > last or (highest < last and entry.ids is None):
        raise DetectionFailed(
            f"The model {entry.name} has columns for the classes up to {last}, but the labels of its entry go up to "
            f"{highest}: list as many labels as there are classes, or give them ids."
        )


def _activate(scores: Floats, activation: str) -> Floats:
    """Sigmoid or softmax over the last axis, as the entry says."""
    if activation == "sigmoid":
        # Written with tanh, which does not overflow.
        return np.asarray(0.5 + 0.5 * np.tanh(0.5 * scores), np.float32)
    if activation == "softmax":
        # Infinite logits become NaN, which is reported later.
        with np.errstate(invalid="ignore"):
            raised = np.exp(scores - scores.max(axis=-1, keepdims=True, initial=-np.inf))
            return np.asarray(raised / raised.sum(axis=-1, keepdims=True), np.float32)
    return scores


def _select(entry: ModelEntry, scores: Floats, classes: npt.NDArray[np.float64]) -> tuple[Integers, Floats, Integers]:
    """Row, score and class id of everything that reaches the floor score. Raises `DetectionFailed`."""
    output = entry.output
    if scores.ndim == 1:
        # A class below the first one means that there is nothing.
        counting = np.flatnonzero(~(classes < min(entry.class_ids)))
        probabilities = _probabilities(entry, scores[counting])
        reach = probabilities >= output.floor_score
        rows = counting[reach]
        if not np.isfinite(classes[rows]).all():
            raise DetectionFailed(f"The model {entry.name} gave classes that are not finite.")
        # Clipped, because numbers that no integer can hold would become negative, and so mean "nothing".
        return rows, probabilities[reach], classes[rows].clip(max=LARGEST_CLASS).astype(np.int64)
    ids = np.arange(scores.shape[1])
    if output.background is not None:
        ids = ids[1:] if output.background == "first" else ids[:-1]
    scores = _probabilities(entry, scores[:, ids])
    if output.several_classes:
        rows, columns = np.nonzero(scores >= output.floor_score)
        return rows, scores[rows, columns], ids[columns]
    if not ids.size:
        return np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.int64)
    columns = scores.argmax(axis=1)
    best = scores[np.arange(len(scores)), columns]
    rows = np.flatnonzero(best >= output.floor_score)
    return rows, best[rows], ids[columns[rows]]


def _require_coordinates(entry: ModelEntry, boxes: Floats) -> None:
    """Raises `DetectionFailed` for boxes that are not finite, or that can't be normalised although the entry says so.

    Read as normalised, pixels would all lie outside the picture, and nothing would be found.
    """
    if not np.isfinite(boxes).all():
        raise DetectionFailed(f"The model {entry.name} gave boxes that are not finite.")
    if entry.output.coordinates == "normalised" and _all_beyond(boxes, MAX_INPUTS):
        raise DetectionFailed(
            f"The model {entry.name} gave coordinates up to {np.abs(boxes).max():.4g}, but its entry says that they "
            'are normalised: write coordinates = "pixels".'
        )


def _require_near(entry: ModelEntry, boxes: Floats) -> None:
    """Raises `DetectionFailed` if boxes of which none is in the picture all reach far out of the model's input."""
    if _all_beyond(boxes, MAX_INPUTS * max(entry.input.width, entry.input.height)):
        raise DetectionFailed(
            f"The model {entry.name} gave only boxes outside the picture, with coordinates up to "
            f"{np.abs(boxes).max():.4g}: check which output its entry names as boxes."
        )


def _all_beyond(boxes: Floats, limit: float) -> bool:
    return bool(boxes.size and np.abs(boxes).max(axis=1).min() > limit)


def _probabilities(entry: ModelEntry, scores: Floats) -> Floats:
    """The scores, clipped to 0 to 1. Raises `DetectionFailed` if one is not finite, and `ScoreOutOfRange` if one lies
    outside by more than rounding."""
    if not np.isfinite(scores).all():
        raise DetectionFailed(f"The model {entry.name} gave scores that are not finite.")
    if scores.size and not -SCORE_TOLERANCE <= scores.min() <= scores.max() <= 1 + SCORE_TOLERANCE:
        wrong = scores.max() if scores.max() > 1 + SCORE_TOLERANCE else scores.min()
        raise ScoreOutOfRange(
            f"The model {entry.name} gave the score {wrong:.4g}, which is no probability. If it writes logits, add "
            'activation = "sigmoid" or "softmax" to the output of its entry; if it pads its rows, name its count.'
        )
    clipped: Floats = scores.clip(0, 1)
    return clipped


def _label_indices(entry: ModelEntry, classes: Integers) -> Integers:
    """The index of each class id's label; −1 for ids below the first one, which mean "nothing". Raises
    `DetectionFailed` for a class without a label."""
    ids = np.array(entry.class_ids, np.int64)
    order = np.argsort(ids)
    at = order[np.searchsorted(ids, classes, sorter=order).clip(max=len(ids) - 1)]
    unlabelled = classes[(ids[at] != classes) & (classes >= ids.min())]
    if unlabelled.size:
        # Without this error, a list of labels that is too short would look like "nothing found".
        raise DetectionFailed(
            f"The model {entry.name} found class {unlabelled[0]}, but its entry has no label for it: it has "
            f"{len(ids)} labels, for the classes {ids.min()} to {ids.max()}."
        )
    return np.where(ids[at] == classes, at, -1)
