"""Whether two models of the same weights find the same."""

from __future__ import annotations

import numpy as np

from detectors.outputs import Detections, overlap

SCORE = 0.3
"""Detections above it have to be the same ..."""
SCORE_MARGIN = 1e-3
"""... in their score within this, for which reason those so close to SCORE may be missing ..."""
LEAST_OVERLAP = 0.99
"""... and in their box by this intersection over union."""


def differences(one: Detections, other: Detections) -> list[str]:
    """What one of the two has above SCORE and the other has not, a line each: the label, the score and the box."""
    return [f"only the first: {line}" for line in _missing(one, other)] + [
        f"only the second: {line}" for line in _missing(other, one)
    ]


def _missing(wanted: Detections, there: Detections) -> list[str]:
    overlaps = overlap(wanted.boxes, there.boxes)
    free = np.ones(len(there.scores), bool)
    missing = []
    for n in np.flatnonzero(wanted.scores > SCORE + SCORE_MARGIN):
        same = (
            free
            & (there.class_ids == wanted.class_ids[n])
            & (np.abs(there.scores - wanted.scores[n]) <= SCORE_MARGIN)
            & (overlaps[n] >= LEAST_OVERLAP)
        )
        if same.any():
            free[np.argmax(same * overlaps[n])] = False
        else:
            missing.append(f"class {wanted.class_ids[n]}, {wanted.scores[n]:.4f}, {wanted.boxes[n].round(2).tolist()}")
    return missing
