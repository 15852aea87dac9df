"""Whether two models of the same weights find the same."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detectors.outputs import Detections

Floats = npt.NDArray[np.float32]

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


def overlap(some: Floats, others: Floats) -> Floats:
    """Intersection over union, 0..1, of boxes [n, 4] with boxes [m, 4] -> [n, m]."""
    low = np.maximum(some[:, None, :2], others[None, :, :2])
    high = np.minimum(some[:, None, 2:], others[None, :, 2:])
    shared = (high - low).clip(0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (some, others)]
    result: Floats = shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, np.float32(1e-9))
    return result
