"""Compares the detections of two models with the same weights.

A detection with a score above MIN_SCORE is shared if the other model has a detection of the same class with nearly the
same score and box.
"""

import numpy as np

from detectors.boxes import iou
from detectors.postprocess import Detections

MIN_SCORE = 0.3
"""Detections with a score above this must be in both models."""
MAX_SCORE_DIFFERENCE = 1e-3
"""Largest difference of the scores. A detection within this difference of MIN_SCORE may be missing."""
MIN_IOU = 0.99
"""Smallest intersection over union of the boxes."""


def differences(one: Detections, other: Detections) -> list[str]:
    """A line for each detection above MIN_SCORE that only one model has: its class, score and box."""
    return [
        f"only the {model}: class {these.class_ids[n]}, {these.scores[n]:.4f}, {these.boxes[n].round(2).tolist()}"
        for model, these, others in (("first", one, other), ("second", other, one))
        for n, match in _matches(these, others)
        if match is None
    ]


def furthest(one: Detections, other: Detections) -> tuple[float, float]:
    """Largest differences between shared detections: of a side of a box in pixels, and of a score."""
    pairs = [(n, m) for n, m in _matches(one, other) if m is not None]
    sides = (float(np.abs(one.boxes[n] - other.boxes[m]).max()) for n, m in pairs)
    scores = (float(abs(one.scores[n] - other.scores[m])) for n, m in pairs)
    return max(sides, default=0.0), max(scores, default=0.0)


def _matches(these: Detections, others: Detections) -> list[tuple[int, int | None]]:
    """For each of these detections above MIN_SCORE: its index, and the index of its match in `others` or None."""
    overlaps = iou(these.boxes, others.boxes)
    free = np.ones(len(others.scores), bool)
    matches: list[tuple[int, int | None]] = []
    for n in np.flatnonzero(these.scores > MIN_SCORE + MAX_SCORE_DIFFERENCE):
        same = (
            free
            & (others.class_ids == these.class_ids[n])
            & (np.abs(others.scores - these.scores[n]) <= MAX_SCORE_DIFFERENCE)
            & (overlaps[n] >= MIN_IOU)
        )
        best = int(np.argmax(same * overlaps[n])) if same.any() else None
        if best is not None:
            free[best] = False
        matches.append((int(n), best))
    return matches
