"""Compares what two models with the same weights find."""

import numpy as np

from detectors.postprocess import Detections, iou

SCORE = 0.3
"""Detections with a higher score have to be the same in both models ..."""
SCORE_MARGIN = 1e-3
"""... with scores that differ by at most this (a detection that close to SCORE may be missing) ..."""
LEAST_OVERLAP = 0.99
"""... and boxes with at least this intersection over union."""


def differences(one: Detections, other: Detections) -> list[str]:
    """A line for each detection above SCORE that only one of the two has: its class, score and box."""
    return [
        f"only the {model}: class {there.class_ids[n]}, {there.scores[n]:.4f}, {there.boxes[n].round(2).tolist()}"
        for model, there, elsewhere in (("first", one, other), ("second", other, one))
        for n, match in _matches(there, elsewhere)
        if match is None
    ]


def furthest(one: Detections, other: Detections) -> tuple[float, float]:
    """Largest differences between the same detections above SCORE: of a side of a box in pixels, and of a score."""
    pairs = [(n, m) for n, m in _matches(one, other) if m is not None]
    sides = (float(np.abs(one.boxes[n] - other.boxes[m]).max()) for n, m in pairs)
    scores = (float(abs(one.scores[n] - other.scores[m])) for n, m in pairs)
    return max(sides, default=0.0), max(scores, default=0.0)


def _matches(wanted: Detections, there: Detections) -> list[tuple[int, int | None]]:
    """For each wanted detection above SCORE, the index of the same one in `there`, if any."""
    overlaps = iou(wanted.boxes, there.boxes)
    free = np.ones(len(there.scores), bool)
    matches: list[tuple[int, int | None]] = []
    for n in np.flatnonzero(wanted.scores > SCORE + SCORE_MARGIN):
        same = (
            free
            & (there.class_ids == wanted.class_ids[n])
            & (np.abs(there.scores - wanted.scores[n]) <= SCORE_MARGIN)
            & (overlaps[n] >= LEAST_OVERLAP)
        )
        best = int(np.argmax(same * overlaps[n])) if same.any() else None
        if best is not None:
            free[best] = False
        matches.append((int(n), best))
    return matches
