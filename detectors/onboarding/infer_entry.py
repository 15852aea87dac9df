"""Infers the tables `input` and `output` of an entry: from well-known names of outputs, otherwise from shapes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.catalogue import FLOATS, FORMAT_DEFAULTS
from detectors.errors import ModelUnusable
from detectors.onboarding.edit_catalogue import Guess
from detectors.onboarding.probe import OBJECT_DETECTION_API_NAMES, Key, Outputs, Probe, describe_outputs
from detectors.postprocess import SCORE_TOLERANCE

Numbers = npt.NDArray[np.generic]
Fields = dict[str, Any]
"""Fields of an entry, or of a table in it; a value may be an `Guess`."""

OBJECT_DETECTION_API = {
    "boxes": "detection_boxes",
    "scores": "detection_scores",
    "classes": "detection_classes",
    "first_class": 1,
    "box_order": "yxyx",
    "coordinates": "normalised",
}
TORCHVISION = FORMAT_DEFAULTS["torchvision"]["output"]
DETR = {"boxes": "pred_boxes", "class_scores": "pred_logits", "box_order": "cxcywh", "coordinates": "normalised"}
HUGGING_FACE_DETR = {**DETR, "class_scores": "logits"}
ROLES = ("boxes", "scores", "classes", "class_scores")
# Normalised coordinates are at most 1, and a little more if a box reaches out of the picture.
MAX_NORMALISED = 2.0
# Boxes are corners if at least this share has them in order: a model may write some weak boxes with a negative size.
MIN_ORDERED_SHARE = 0.8


def infer_input(probed: Probe, known: Mapping[str, Any]) -> Fields:
    """The table `input` of an entry. `known`: fields that are not inferred from the input itself."""
    into = probed.input
    fields: Fields = {name: getattr(into, name) for name in ("name", "size_name") if getattr(into, name) is not None}
    fields |= {"width": into.width, "height": into.height, "resize": into.resize}
    if into.resize != "none":
        fields["resize"] = _resize(probed)
    for name in ("layout", "dtype"):
        value = getattr(into, name)
        fields[name] = Guess(value, "inferred: the model ran with it") if probed.inferred else value
    if into.dtype in FLOATS:
        fields["scale"] = Guess(
            into.scale, "inferred: pixels become 0 … 1; check this, and whether mean and std are needed"
        )
    # Of an input that is not scaled, for example of uint8, nothing is known about numbers.
    return fields | {
        name: value for name, value in known.items() if name not in ("scale", "mean", "std") or "scale" in fields
    }


def _resize(probed: Probe) -> Guess:
    """How pictures get the size of the input."""
    if {str(key) for key in probed.outputs} >= OBJECT_DETECTION_API_NAMES:
        return Guess("stretch", "as the Object Detection API resizes to a fixed size, unless it pads to it")
    if probed.input.size_name is not None:
        return Guess("stretch", "as RT-DETR and D-FINE were trained")
    return Guess(probed.input.resize, 'inferred: keeps the aspect ratio; "stretch" if it was trained so')


def infer_output(outputs: Outputs) -> Fields:
    """The table `output` of an entry, without the fields that depend on the labels.

    Raises `ModelUnusable` if there are no boxes or no scores.
    """
    for known in (OBJECT_DETECTION_API, TORCHVISION, DETR, HUGGING_FACE_DETR):
        found = [outputs.get(str(known[role])) for role in ROLES if role in known]
        # Others give their outputs the same names as torchvision, but torchvision alone returns lists.
        if all(output is not None and isinstance(output, list) == (known is TORCHVISION) for output in found):
            return {**known, **({"count": "num_detections"} if "num_detections" in outputs else {})}
    arrays = {key: output for key, output in outputs.items() if not isinstance(output, list)}
    boxes = _find(arrays, "box", lambda array: array.ndim == 3 and array.shape[2] == 4)
    if boxes is None:
        raise ModelUnusable(_not_found("boxes, n × k × 4", outputs))
    rows = arrays[boxes].shape[:2]
    box_fields = _infer_boxes(arrays.pop(boxes))
    fields: Fields = {"boxes": boxes}
    per_class = _find(arrays, "score", lambda array: array.ndim == 3 and array.shape[:2] == rows)
    if per_class is not None:
        fields["class_scores"] = per_class
        arrays.pop(per_class)
    else:
        fields |= _infer_scores({key: array for key, array in arrays.items() if array.shape == rows}, outputs)
    count = _find(arrays, "num", lambda array: _may_be_counts(array, rows))
    if count is not None:
        fields["count"] = Guess(count, "inferred: the number of boxes that count")
    return fields | box_fields


def infer_first_class(probed: Probe) -> Fields:
    """The field `first_class`, if the model counts its classes as torchvision's detectors do; otherwise none."""
    names = {TORCHVISION[role] for role in ROLES if role in TORCHVISION}
    if probed.input.size_name is not None or {str(key) for key in probed.outputs} != names:
        return {}
    return {"first_class": Guess(1, "as torchvision's detectors count: 0 is the background")}


def infer_columns(scores: Numbers, labels: Sequence[str] | Mapping[int, str], *, queries: bool = False) -> Fields:
    """Fields of `output` for scores with a column for each class. scores: n × k × c, of blank pictures. `queries`:
    whether the rows are the queries of a DETR."""
    last = scores.shape[2] - 1
    if isinstance(labels, Mapping):
        unlabelled = [column for column in (0, last) if column not in labels]
    else:
        unlabelled = [0, last] if len(labels) == last else []
    if not unlabelled:
        activation = _activation(scores, "sigmoid")
        comment = "inferred: a query may stand for several classes, as RT-DETR, D-FINE and Deformable DETR count them"
        return activation | ({"several_classes": Guess(True, comment)} if queries and activation else {})
    means = scores.astype(np.float64).mean(axis=(0, 1))
    background = max(unlabelled, key=lambda column: means[column])
    comment = "inferred: the column that is highest on a blank picture"
    first_class = {} if background == last or isinstance(labels, Mapping) else {"first_class": 1}
    return {
        "background": Guess("last" if background == last else "first", comment),
        **first_class,
        **_activation(scores, "softmax"),
    }


def _infer_scores(arrays: Mapping[Key, Numbers], outputs: Outputs) -> Fields:
    """Which of the outputs n × k are the scores, and which the class ids."""

    def is_classes(key: Key) -> bool:
        name = str(key).lower()
        return arrays[key].dtype.kind in "iu" or "class" in name or "label" in name

    if len(arrays) < 2:
        raise ModelUnusable(_not_found("n × k scores and n × k class ids, or n × k × classes", outputs))
    classes = max(list(arrays)[::-1], key=is_classes)  # the last one, if neither name nor type decides
    others = {key: array for key, array in arrays.items() if key != classes}
    scores = _find(others, "score", lambda array: array.dtype.kind == "f")
    if scores is None:
        raise ModelUnusable(_not_found("n × k scores, which are floating-point numbers", outputs))
    return {
        "scores": scores,
        "classes": classes if is_classes(classes) else Guess(classes, "inferred: this output, and not the scores"),
        "first_class": Guess(0, "inferred: 1 if the model counts its classes from 1"),
        # A class below the first one means that the row is padding.
        **_activation(arrays[scores][~(arrays[classes].astype(np.float64) < 0)], "sigmoid"),
    }


def _may_be_counts(array: Numbers, rows: tuple[int, ...]) -> bool:
    """Whether an array may hold the number of boxes that count for each picture. rows: n, k."""
    if array.size != len(array) or array.shape == rows:
        return False
    numbers = array.astype(np.float64)
    return bool((numbers == np.floor(numbers)).all() and numbers.min() >= 0 and numbers.max() <= rows[1])


def _find(arrays: Mapping[Key, Numbers], part: str, fits: Callable[[Numbers], bool]) -> Key | None:
    """The key of the array that fits; of several, the first with `part` in its name, otherwise the first."""
    fitting = [key for key, array in arrays.items() if fits(array)]
    return next((key for key in fitting if part in str(key).lower()), fitting[0] if fitting else None)


def _infer_boxes(boxes: Numbers) -> Fields:
    """How boxes are written. boxes: n × k × 4, of blank pictures."""
    numbers = boxes.astype(np.float64)
    numbers = numbers[np.isfinite(numbers).all(axis=-1)]  # padding may have any numbers
    ordered = (numbers[..., 2:] >= numbers[..., :2]).all(axis=-1)
    corners = not ordered.size or ordered.mean() >= MIN_ORDERED_SHARE
    normalised = numbers.size > 0 and np.abs(numbers).max() <= MAX_NORMALISED
    comment = "inferred from the boxes on blank pictures"
    return {
        "box_order": Guess("xyxy" if corners else "cxcywh", comment),
        "coordinates": Guess("normalised" if normalised else "pixels", comment),
    }


def _activation(scores: Numbers, usual: str) -> Fields:
    """The field `activation`, if the scores are not 0 to 1."""
    numbers = scores.astype(np.float64)
    if not numbers.size or (numbers.min() >= -SCORE_TOLERANCE and numbers.max() <= 1 + SCORE_TOLERANCE):
        return {}
    return {"activation": Guess(usual, "inferred, as scores are not 0 to 1")}


def _not_found(wanted: str, outputs: Outputs) -> str:
    return (
        f"The model returns {describe_outputs(outputs)}, and none of these is {wanted}. Write its entry by hand, or "
        "change the model's outputs as docs/models.md describes."
    )
