"""Recognises models of the YOLO family: one output has the boxes and the scores of all classes.

The numbers of rows and columns tell the families apart. A model looks at a picture in cells of 8, 16 and 32 pixels, so
an input of 640 × 640 has 80² + 40² + 20² = 8,400 of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.errors import ModelUnusable
from detectors.onboarding.edit_catalogue import Guess
from detectors.onboarding.probe import Key, Outputs, Probe, describe_outputs

Numbers = npt.NDArray[np.float64]

STRIDES = ((8, 16, 32), (4, 8, 16, 32), (8, 16, 32, 64))
"""The sides of the cells, in pixels: of most models, of those for small objects (P2) and for large pictures (P6)."""
ANCHORS = 3
"""Rows for each cell that YOLOv5 and YOLOv7 have; later models have one."""
SELECTED_COLUMNS = 6
"""Of a row that is a finished detection: x1, y1, x2, y2, score, class."""
MAX_SELECTED = 1000
ULTRALYTICS_NMS = Guess(0.7, "as Ultralytics' predictor")
OTHER_NMS = Guess(0.45, "as the predictors of YOLOv5, YOLOv6, YOLOv7 and YOLOX")
MIN_SCORE = 0.25
"""The lowest score that these predictors show."""
TOLERANCE = 1e-3
MIN_CORRELATION = 0.9
"""Of the centres of boxes with the places of their cells."""

BILINEAR = Guess("bilinear", 'as OpenCV in training; "antialiased" decodes large JPEGs faster, and differs a little')
USUAL: dict[str, Any] = {
    "interpolation": BILINEAR,
    "scale": Guess(1 / 255, "as this family was trained: pixels become 0 … 1"),
}
LETTERBOX: dict[str, Any] = {"resize": "letterbox", "position": "centre", **USUAL}


@dataclass(frozen=True)
class Family:
    """A recognised model: fields of its entry."""

    name: str
    """With its article."""
    classes: int | None
    """The number of classes; None if the output does not tell."""
    output: dict[str, Any]
    input: dict[str, Any] = field(default_factory=dict)


def recognise(probed: Probe) -> Family | None:
    """The family of a model, or None if it is of another kind. Raises `ModelUnusable` for a model that finds more or
    other things than boxes, or that leaves the decoding of its boxes to somebody else."""
    if (apart := _selected_with_labels(probed.outputs)) is not None:
        return apart
    key, tensor = _one_tensor(probed.outputs)
    if key is None or tensor is None:
        return None
    declared = probed.declared
    labels = len(declared.labels) if declared is not None and declared.labels is not None else None
    width, height = probed.input.width, probed.input.height
    cells = {_count_cells(width, height, strides): strides for strides in STRIDES}
    first, second = tensor.shape[1:]
    if second in cells and first > 4:
        return _anchor_free(probed, key, tensor.transpose(0, 2, 1), cells[second], labels)
    if first in cells and second > 5:
        return _with_objectness(probed, key, tensor, cells[first])
    if first % ANCHORS == 0 and first // ANCHORS in cells and second > 5:
        return _with_anchors(probed, key, tensor, cells[first // ANCHORS])
    if labels is not None and second == labels + 4 and _are_normalised(tensor):
        return _transformer(key, labels)
    if second == SELECTED_COLUMNS and first <= MAX_SELECTED:
        return _selected(key, tensor)
    if labels is not None:
        raise ModelUnusable(
            f"The model returns {describe_outputs(probed.outputs)}, which is no output of a YOLO model for {labels} "
            f"classes and an input of {width} × {height}. Export it again for the task detect, or write its entry by "
            "hand as docs/models.md describes."
        )
    return None


def infer_suppression(probed: Probe, scores: npt.NDArray[Any]) -> dict[str, Any]:
    """The field `nms` of a model with boxes and scores, n × k × classes, in two outputs, such as YOLO-NAS: one row for
    each cell means that nothing was suppressed yet."""
    cells = [_count_cells(probed.input.width, probed.input.height, strides) for strides in STRIDES]
    return {"nms": ULTRALYTICS_NMS} if scores.shape[1] in cells else {}


def _one_tensor(outputs: Outputs) -> tuple[Key | None, Numbers | None]:
    """The output n × rows × columns, if there is just one of this kind. Raises `ModelUnusable` if masks come with
    it."""
    arrays = {key: output for key, output in outputs.items() if isinstance(output, np.ndarray)}
    found = {key: array for key, array in arrays.items() if array.ndim == 3 and array.dtype.kind == "f"}
    if len(found) != 1:
        return None, None
    [(key, tensor)] = found.items()
    others = [array for name, array in arrays.items() if name != key]
    # 5 dimensions have the maps of YOLOv5 before their decoding, which some exports return too.
    if any(array.ndim == 4 for array in others) and tensor.shape[1:] > (4, 4):
        raise ModelUnusable(
            f"The model returns {describe_outputs(outputs)}: the last ones are masks, so it is a model for "
            "segmentation. Only models that find boxes are served: export one that was trained for the task detect."
        )
    if any(array.ndim not in (4, 5) for array in others):
        return None, None
    return key, tensor.astype(np.float64)


def _count_cells(width: int, height: int, strides: Sequence[int]) -> int:
    return sum(-(-width // stride) * -(-height // stride) for stride in strides)


def _anchor_free(probed: Probe, key: Key, rows: Numbers, strides: Sequence[int], labels: int | None) -> Family:
    """Ultralytics YOLOv8 and later: n × (4 + classes) × cells."""
    columns = rows.shape[2]
    if labels is not None and columns != 4 + labels:
        raise ModelUnusable(
            f"The model has {columns} numbers for each cell, but a box and a score for each of its {labels} classes "
            f"are {4 + labels}: the others are masks, points or angles. Only models that find upright boxes are "
            "served: export one that was trained for the task detect."
        )
    _require_decoded(probed, rows, strides)
    _require_probabilities(probed, rows[..., 4:])
    return Family(
        "a YOLO model of Ultralytics",
        columns - 4,
        {
            "tensor": key,
            "transposed": True,
            "columns": {"class_scores": [4, columns]},
            **_boxes(rows),
            "nms": ULTRALYTICS_NMS,
        },
        LETTERBOX,
    )


def _with_anchors(probed: Probe, key: Key, rows: Numbers, strides: Sequence[int]) -> Family:
    """YOLOv5 and YOLOv7: n × 3 cells × (5 + classes)."""
    _require_decoded(probed, rows, strides)
    return _objectness_family("a YOLOv5 or YOLOv7 model", probed, key, rows, LETTERBOX)


def _with_objectness(probed: Probe, key: Key, rows: Numbers, strides: Sequence[int]) -> Family:
    """YOLOX and YOLOv6: n × cells × (5 + classes). YOLOv6 has no objectness, and writes 1 in its place."""
    _require_decoded(probed, rows, strides)
    if (rows[..., 4] == 1).all():
        return _objectness_family("a YOLOv6 model", probed, key, rows, LETTERBOX)
    into: dict[str, Any] = {
        "resize": "letterbox",
        "interpolation": BILINEAR,
        "channels": Guess("BGR", "as YOLOX was trained"),
        "scale": Guess(1.0, "as YOLOX was trained: pixels stay 0 … 255"),
    }
    return _objectness_family("a YOLOX model", probed, key, rows, into)


def _objectness_family(name: str, probed: Probe, key: Key, rows: Numbers, into: dict[str, Any]) -> Family:
    _require_probabilities(probed, rows[..., 4:])
    columns = rows.shape[2]
    return Family(
        name,
        columns - 5,
        {
            "tensor": key,
            "columns": {"class_scores": [5, columns], "objectness": 4},
            **_boxes(rows),
            "nms": OTHER_NMS,
        },
        into,
    )


def _selected(key: Key, rows: Numbers) -> Family | None:
    """Finished detections: YOLOv10, YOLO26, and exports with `nms=True`. Unused rows are zeros."""
    classes = rows[..., 5]
    if (classes != np.floor(classes)).any() or (rows[..., 4] < 0).any() or (rows[..., 4] > 1 + TOLERANCE).any():
        return None
    boxes = rows[..., :4]
    normalised = boxes.any() and _are_normalised(boxes)
    return Family(
        "one that returns finished detections, such as YOLOv10 or an export with nms=True",
        None,
        {
            "tensor": key,
            "columns": {"scores": 4, "classes": 5},
            "box_order": "xyxy",
            "coordinates": "normalised" if normalised else "pixels",
        },
        LETTERBOX,
    )


def _selected_with_labels(outputs: Outputs) -> Family | None:
    """Finished detections as MMDetection exports them: `dets` n × k × 5 with the scores, and `labels` n × k."""
    arrays = {key: output for key, output in outputs.items() if isinstance(output, np.ndarray)}
    floats = {key: array for key, array in arrays.items() if array.dtype.kind == "f"}
    boxes = [key for key, array in floats.items() if array.ndim == 3 and array.shape[2] == 5]
    classes = [key for key, array in arrays.items() if array.ndim == 2 and array.dtype.kind in "iu"]
    if len(boxes) != 1 or len(classes) != 1 or arrays[boxes[0]].shape[:2] != arrays[classes[0]].shape:
        return None
    output = {"tensor": boxes[0], "columns": {"scores": 4}, "classes": classes[0], "box_order": "xyxy"}
    return Family("one that returns finished detections, as those of MMDetection", None, output)


def _transformer(key: Key, labels: int) -> Family:
    """Ultralytics' RT-DETR: n × queries × (4 + classes). It stretches pictures, and needs no suppression."""
    return Family(
        "an RT-DETR of Ultralytics",
        labels,
        {
            "tensor": key,
            "columns": {"class_scores": [4, 4 + labels]},
            "box_order": "cxcywh",
            "coordinates": "normalised",
        },
        {"resize": "stretch", **USUAL},
    )


def _boxes(rows: Numbers) -> dict[str, Any]:
    # Ultralytics' exports to TensorFlow divide by the size of the input.
    return {"box_order": "cxcywh", "coordinates": "normalised" if _are_normalised(rows[..., :4]) else "pixels"}


def _are_normalised(rows: Numbers) -> bool:
    return bool(np.abs(rows[..., :4]).max() <= 2)


def _require_decoded(probed: Probe, rows: Numbers, strides: Sequence[int]) -> None:
    """Raises `ModelUnusable` if the centres of the boxes do not follow the grid of the smallest cells."""
    columns, lines = -(-probed.input.width // strides[0]), -(-probed.input.height // strides[0])
    grid = rows[0, : columns * lines, :2].reshape(lines, columns, 2)
    if not (_rises(grid[..., 0].mean(axis=0)) and _rises(grid[..., 1].mean(axis=1))):
        raise ModelUnusable(
            f"The model returns {describe_outputs(probed.outputs)}, and its boxes are not decoded: they are relative "
            "to the cells of a grid. Export it with the decoding in it (YOLOX: export_onnx.py --decode_in_inference)."
        )


def _rises(numbers: Numbers) -> bool:
    """Whether numbers grow about evenly from the first to the last."""
    return bool(numbers.std() > 0 and np.corrcoef(numbers, np.arange(len(numbers)))[0, 1] > MIN_CORRELATION)


def _require_probabilities(probed: Probe, scores: Numbers) -> None:
    if scores.min() < -TOLERANCE or scores.max() > 1 + TOLERANCE:
        raise ModelUnusable(
            f"The model returns {describe_outputs(probed.outputs)}, and its scores reach from {scores.min():.4g} to "
            f"{scores.max():.4g}, which are no probabilities. Export the model for detection with its last layer, or "
            "write its entry by hand as docs/models.md describes."
        )
