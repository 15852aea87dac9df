"""Hints about the detections of a model whose entry may be wrong: what looks odd, and which field to change."""

from collections.abc import Sequence

import numpy as np

from detectors.boxes import iou
from detectors.catalogue import ModelEntry
from detectors.pictures.drawing import Row

MANY = 5
"""With fewer boxes, nothing is odd."""
SAME_IOU = 0.8
"""Two boxes of a class that overlap more show the same object."""
MAX_REPEATED_SHARE = 0.25
MAX_SCORE_SPREAD = 1e-3
MANY_EQUAL_SCORES = 20
TINY_PIXELS = 3.0
WHOLE_PICTURE = 0.95


def hints_about(entry: ModelEntry, found: Sequence[Row], highest: float, width: int, height: int) -> list[str]:
    """Sentences about what looks odd; empty for most models.

    found: the detections that a request gets, best first. highest: the highest score of the model in the picture, 0 to
    1. width, height: of the picture in pixels.
    """
    if not found:
        return [_about_nothing(entry, highest)]
    if len(found) < MANY:
        return []
    boxes = np.array([row[3:] for row in found], np.float32)
    scores = np.array([row[2] for row in found])
    hints = []
    repeated = _count_repeated(boxes, [row[1] for row in found])
    if entry.output.nms is None and repeated > MAX_REPEATED_SHARE * len(found):
        hints.append(
            f"{repeated} of {len(found)} boxes lie on a better box of their class. If the model does not suppress such "
            "boxes itself, add nms = 0.5 to the output of its entry."
        )
    if len(found) >= MANY_EQUAL_SCORES and np.ptp(scores) < MAX_SCORE_SPREAD:
        hints.append(
            f"All {len(found)} scores are about {scores[0]:.3f}: check which output or column the entry names as "
            "scores."
        )
    sides = boxes[:, 2:] - boxes[:, :2]
    # A pixel of the input may be several of the picture.
    scale = max(1.0, width / entry.input.width, height / entry.input.height)
    if boxes.max() <= TINY_PIXELS * scale:
        hints.append(
            "All boxes are a few pixels at the top left of the picture. If the model writes parts of the picture, "
            'write coordinates = "normalised" into the output of its entry.'
        )
    elif (sides >= WHOLE_PICTURE * np.array([width, height])).all(axis=1).mean() > 0.5:
        hints.append(
            "Most boxes cover the whole picture: check box_order and coordinates in the output of the entry, and "
            "whether the model was trained with this scale, mean and std."
        )
    return hints


def _about_nothing(entry: ModelEntry, highest: float) -> str:
    floor = max(entry.output.floor_score, entry.defaults.min_score or 0.0)
    return (
        f"Nothing was found: the highest score is {highest:.3f}, and detections are shown from {floor:g} on. If there "
        "is something in the picture, check scale, mean, std and channels in the input of the entry, or try a lower "
        "min_score."
    )


def _count_repeated(boxes: np.ndarray, classes: Sequence[int]) -> int:
    """Boxes that lie on a better one of their class. boxes: k × 4, best first."""
    same = (iou(boxes, boxes) > SAME_IOU) & (np.array(classes)[:, None] == np.array(classes)[None])
    return int(np.tril(same, -1).any(axis=1).sum())
