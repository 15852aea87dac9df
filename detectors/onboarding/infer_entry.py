"""What a model's outputs mean: told by their names where these are well known, otherwise by their shapes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.catalogue import OF_FORMAT
from detectors.errors import ModelUnusable
from detectors.onboarding.probe import Given, Key, Seen, described
from detectors.onboarding.writing import Guess

Numbers = npt.NDArray[np.generic]
Fields = dict[str, Any]
"""Of an entry, or of a table in it; a value may be a `Guess`."""


OBJECT_DETECTION_API = {
    "boxes": "detection_boxes",
    "scores": "detection_scores",
    "classes": "detection_classes",
    "first_class": 1,
    "box_order": "yxyx",
    "coordinates": "normalised",
}
TORCHVISION = OF_FORMAT["torchvision"]["output"]
DETR = {"boxes": "pred_boxes", "class_scores": "pred_logits", "box_order": "cxcywh", "coordinates": "normalised"}
ROLES = ("boxes", "scores", "classes", "class_scores")
# Boxes inside of a picture are not larger than 1 where they are normalised, a little more where they reach out of it.
LARGEST_NORMALISED = 2.0


def input_fields(seen: Seen) -> Fields:
    """`input` of an entry."""
    into = seen.input
    fields: Fields = {} if into.name is None else {"name": into.name}
    fields |= {"width": into.width, "height": into.height, "resize": into.resize}
    if into.resize != "none":
        fields["resize"] = Guess(into.resize, 'guessed: keeps the aspect ratio; "stretch" if it was trained so')
    for name in ("layout", "dtype"):
        value = getattr(into, name)
        fields[name] = Guess(value, "guessed: the model ran so") if seen.guessed else value
    if into.dtype == "float32":
        fields["scale"] = Guess(into.scale, "guessed: pixels become 0 … 1; check it, and whether mean and std are due")
    return fields


def output_fields(outputs: Given) -> Fields:
    """`output` of an entry, but for what depends on the labels.

    Raises `ModelUnusable` where no boxes and scores are seen.
    """
    for known in (OBJECT_DETECTION_API, TORCHVISION, DETR):
        if all(known[role] in outputs for role in ROLES if role in known):
            counted = {"count": "num_detections"} if "num_detections" in outputs else {}
            return {**known, **counted}
    arrays = {key: output for key, output in outputs.items() if not isinstance(output, list)}
    boxes = _named(arrays, "box", lambda array: array.ndim == 3 and array.shape[2] == 4)
    if boxes is None:
        raise ModelUnusable(_unread(outputs, "n × k × 4, which are boxes"))
    rows = arrays[boxes].shape[:2]
    corners = _corners(arrays.pop(boxes))
    fields: Fields = {"boxes": boxes}
    per_class = _named(arrays, "score", lambda array: array.ndim == 3 and array.shape[:2] == rows)
    if per_class is not None:
        fields["class_scores"] = per_class
        arrays.pop(per_class)
    else:
        fields |= _scores_and_classes({key: array for key, array in arrays.items() if array.shape == rows}, outputs)
    count = _named(arrays, "num", lambda array: _counts(array, rows))
    if count is not None:
        fields["count"] = Guess(count, "guessed: how many of the boxes count")
    return fields | corners


def columns_fields(scores: Numbers, labels: Sequence[str] | Mapping[int, str]) -> Fields:
    """What an output with a column for each class means: n × k × c, as it was on blank pictures."""
    last = scores.shape[2] - 1
    if isinstance(labels, Mapping):
        unlabelled = [column for column in (0, last) if column not in labels]
    else:
        unlabelled = [0, last] if len(labels) == last else []
    if not unlabelled:
        return _activation(scores, "sigmoid")
    means = scores.astype(np.float64).mean(axis=(0, 1))
    background = max(unlabelled, key=lambda column: means[column])
    remark = "guessed: the column that is highest where nothing is to be seen"
    counted = {} if background == last or isinstance(labels, Mapping) else {"first_class": 1}
    return {
        "background": Guess("last" if background == last else "first", remark),
        **counted,
        **_activation(scores, "softmax"),
    }


def _scores_and_classes(arrays: Mapping[Key, Numbers], outputs: Given) -> Fields:
    """Which of the outputs n × k are the scores, and which the class ids."""

    def told(key: Key) -> bool:
        name = str(key).lower()
        return arrays[key].dtype.kind in "iu" or "class" in name or "label" in name

    if len(arrays) < 2:
        raise ModelUnusable(_unread(outputs, "n × k scores and n × k class ids, or n × k × classes"))
    classes = max(list(arrays)[::-1], key=told)  # the last one, where nothing tells
    others = {key: array for key, array in arrays.items() if key != classes}
    scores = _named(others, "score", lambda array: array.dtype.kind == "f")
    if scores is None:
        raise ModelUnusable(_unread(outputs, "n × k scores, which are floating-point numbers"))
    return {
        "scores": scores,
        "classes": classes if told(classes) else Guess(classes, "guessed: that it is these, and not the scores"),
        "first_class": Guess(0, "guessed: 1 if the model counts its classes from 1"),
        **_activation(arrays[scores], "sigmoid"),
    }


def _counts(array: Numbers, rows: tuple[int, ...]) -> bool:
    """Whether these may be the numbers of boxes that count, of n × k."""
    if array.size != len(array) or array.shape == rows:
        return False
    numbers = array.astype(np.float64)
    return bool((numbers == np.floor(numbers)).all() and numbers.min() >= 0 and numbers.max() <= rows[1])


def _named(arrays: Mapping[Key, Numbers], part: str, fits: Callable[[Numbers], bool]) -> Key | None:
    """The array that fits; of several one that has the part in its name, otherwise the first."""
    fitting = [key for key, array in arrays.items() if fits(array)]
    return next((key for key in fitting if part in str(key).lower()), fitting[0] if fitting else None)


def _corners(boxes: Numbers) -> Fields:
    """How boxes are written, as far as those on blank pictures, n × k × 4, show it."""
    numbers = boxes.astype(np.float64)
    corners = bool((numbers[..., 2:] >= numbers[..., :2]).all())
    normalised = numbers.size > 0 and np.abs(numbers).max() <= LARGEST_NORMALISED
    remark = "guessed from the boxes on blank pictures"
    return {
        "box_order": Guess("xyxy" if corners else "cxcywh", remark),
        "coordinates": Guess("normalised" if normalised else "pixels", remark),
    }


def _activation(scores: Numbers, usual: str) -> Fields:
    """What is still to be done to scores that are not 0 to 1."""
    numbers = scores.astype(np.float64)
    if not numbers.size or (numbers.min() >= 0 and numbers.max() <= 1):
        return {}
    return {"activation": Guess(usual, "guessed, as scores are not 0 to 1")}


def _unread(outputs: Given, lacking: str) -> str:
    return (
        f"It gives {described(outputs)}, and nothing of it is {lacking}: write its entry by hand, or let the model "
        "write what docs/models.md says."
    )
