"""Boxes: from a model's coordinates to pixels of the picture, overlaps, and non-maximum suppression."""

import numpy as np
import numpy.typing as npt

from detectors.catalogue import Input, Output
from detectors.pictures.preprocess import content_offset, content_size

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

MAX_CANDIDATES = 2000
"""Non-maximum suppression compares at most this many boxes of a picture, best first."""
BOX_COLUMNS = {
    "xyxy": ("x1", "y1", "x2", "y2"),
    "yxyx": ("y1", "x1", "y2", "x2"),
    "xywh": ("x1", "y1", "w", "h"),
    "yxhw": ("y1", "x1", "h", "w"),
    "cxcywh": ("cx", "cy", "w", "h"),
    "cycxhw": ("cy", "cx", "h", "w"),
}
"""An entry's `box_order` -> what the four columns of a box are."""


def boxes_in_picture(boxes: Floats, width: int, height: int, into: Input, output: Output) -> Floats:
    """Boxes k × 4 as the model writes them -> x1, y1, x2, y2 in pixels of the picture. They may reach out of it."""
    columns = dict(zip(BOX_COLUMNS[output.box_order], boxes.T, strict=True))
    if "x2" in columns:
        corners = [columns[name] for name in ("x1", "y1", "x2", "y2")]
    elif "cx" in columns:
        cx, cy, w, h = (columns[name] for name in ("cx", "cy", "w", "h"))
        corners = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
    else:
        x1, y1, w, h = (columns[name] for name in ("x1", "y1", "w", "h"))
        corners = [x1, y1, x1 + w, y1 + h]
    content_width, content_height = content = content_size(width, height, into)
    # Normalised coordinates are parts of the model's input. A model that takes pictures in their own sizes has the
    # picture itself as its input.
    input_size = content if into.resize == "none" else (into.width, into.height)
    pixels = np.stack(corners, axis=1)
    scale = np.array([width / content_width, height / content_height] * 2, np.float32)
    if output.coordinates == "normalised":
        scale *= np.array(input_size * 2, np.float32)
    offset = content_offset(content, into)
    if any(offset):
        shift = np.array(offset * 2, np.float32)
        pixels = pixels - (
            shift / np.array(input_size * 2, np.float32) if output.coordinates == "normalised" else shift
        )
    scaled = pixels * scale
    # Corners in the wrong order would make a box of negative size.
    low, high = np.minimum(scaled[:, :2], scaled[:, 2:]), np.maximum(scaled[:, :2], scaled[:, 2:])
    return np.concatenate([low, high], axis=1).astype(np.float32)


def clipped(boxes: Floats, width: int, height: int) -> Floats:
    """The parts of boxes, x1, y1, x2, y2, that lie in a picture."""
    inside: Floats = boxes.clip(0, np.array([width, height] * 2, np.float32))
    return inside


def iou(some: Floats, others: Floats) -> Floats:
    """Intersection over union, 0 to 1, of boxes n × 4 with boxes m × 4 (x1, y1, x2, y2): n × m."""
    low = np.maximum(some[:, None, :2], others[None, :, :2])
    high = np.minimum(some[:, None, 2:], others[None, :, 2:])
    shared = (high - low).clip(0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (some, others)]
    result: Floats = shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, np.float32(1e-9))
    return result


def non_maximum_suppression(boxes: Floats, classes: Integers | None, max_iou: float) -> Integers:
    """Indices of the boxes to keep: those that overlap no better kept box by more than `max_iou`.

    boxes: k × 4, best first. With `classes`, k, only boxes of the same class are compared.
    """
    boxes = boxes[:MAX_CANDIDATES]
    left = np.arange(len(boxes))
    kept = []
    while left.size:
        best, left = left[0], left[1:]
        kept.append(best)
        suppressed = iou(boxes[best][None], boxes[left])[0] > max_iou
        if classes is not None:
            suppressed &= classes[left] == classes[best]
        left = left[~suppressed]
    return np.array(kept, np.int64)
