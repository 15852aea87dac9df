"""What a model's file, or files beside it, declare: labels, size, task, and how pictures are prepared."""

import ast
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detectors.catalogue.labels import Labels, in_order
from detectors.errors import ModelUnusable

Size = tuple[int, int]
"""Width, height."""
MAX_SIDE = 8192
NO_BOXES = {
    "segment": "it finds masks",
    "semantic": "it finds masks",
    "pose": "it finds the points of a pose",
    "obb": "it finds oriented boxes",
    "classify": "it classifies whole pictures",
    "depth": "it estimates distances",
}
"""Task of an Ultralytics model without plain boxes -> what it does in their place."""
NORMALISATION = {"image_mean": "mean", "image_std": "std"}


@dataclass(frozen=True)
class Declared:
    """Facts that need not be inferred. Everything may be missing."""

    source: str = ""
    """Where they were read, for messages and comments."""
    labels: Labels | None = None
    task: str | None = None
    """What an Ultralytics model is for: `detect`, `segment`, …"""
    size: Size | None = None
    """Of the input, in pixels."""
    one_by_one: bool = False
    """Whether it has Ultralytics' non-maximum suppression in it, which answers for the first picture of a batch alone,
    also if the file says that it takes any number."""
    input: Mapping[str, Any] = field(default_factory=dict)
    """Fields of an entry's `input`."""

    def require_boxes(self, file: Path) -> None:
        """Raises `ModelUnusable` if the task is another one than finding boxes."""
        if self.task in (None, "detect"):
            return
        raise ModelUnusable(
            f"{file} has the task {self.task}: {NO_BOXES.get(str(self.task), 'it finds no boxes')}, and only models "
            "that find upright boxes are served. Export a model that was trained for the task detect."
        )


def of_metadata(metadata: Mapping[str, str]) -> Declared | None:
    """What Ultralytics and YOLOv5 write into an ONNX file's metadata; None if it has no names.

    The values are Python literals, such as `{0: 'cat'}` and `[640, 640]`: height and width.
    """
    values = {name: _literal(metadata[name]) for name in ("names", "imgsz", "task", "args") if name in metadata}
    return _of_ultralytics(values, "the file's metadata")


def of_torchscript(file: Path) -> Declared | None:
    """What Ultralytics and YOLOv5 write into a TorchScript file, as JSON in its member `extra/config.txt`; None if it
    has no such member. Raises OSError, or `BadZipFile`."""
    with zipfile.ZipFile(file) as archive:
        name = next((one for one in archive.namelist() if one.endswith("/extra/config.txt")), None)
        if name is None or archive.getinfo(name).file_size > 10_000_000:
            return None
        text = archive.read(name)
    try:
        values = json.loads(text)
    except ValueError:
        return None
    return _of_ultralytics(values, "config.txt in the file") if isinstance(values, dict) else None


def of_folder(file: Path) -> Declared | None:
    """What the files of Hugging Face beside a model declare: labels in `config.json`, and the size, scale, mean and
    std in `preprocessor_config.json`. None if there are no labels."""
    labels = _labels(_json(file.absolute().parent / "config.json").get("id2label"))
    if labels is None:
        return None
    processor = _json(file.absolute().parent / "preprocessor_config.json")
    sides = processor.get("size") if processor.get("do_resize", True) else None
    size = _size([sides.get("height"), sides.get("width")]) if isinstance(sides, dict) else None
    input_: dict[str, Any] = {}
    if processor.get("do_rescale", True) and isinstance(processor.get("rescale_factor"), float):
        input_["scale"] = processor["rescale_factor"]
    if processor.get("do_normalize"):
        input_ |= {
            ours: processor[theirs] for theirs, ours in NORMALISATION.items() if _are_numbers(processor.get(theirs))
        }
    if size and not processor.get("do_pad"):
        input_["resize"] = "stretch"
    return Declared("config.json beside the file", labels, None, size, input=input_)


def _of_ultralytics(values: Mapping[str, Any], source: str) -> Declared | None:
    labels = _labels(values.get("names"))
    task = values.get("task")
    if labels is None and not isinstance(task, str):
        return None
    arguments = values.get("args")
    return Declared(
        source,
        labels,
        task if isinstance(task, str) else None,
        _size(values.get("imgsz")),
        one_by_one=isinstance(arguments, dict) and arguments.get("nms") is True,
    )


def _labels(names: Any) -> Labels | None:
    """Names as a list, or by class id if these do not count up from 0."""
    if isinstance(names, list) and names and all(isinstance(name, str) and name for name in names):
        return names
    if not isinstance(names, dict) or not names:
        return None
    try:
        by_id = {int(number): str(name) for number, name in names.items()}
    except (ValueError, TypeError):
        return None
    if len(by_id) != len(names) or min(by_id) < 0 or not all(by_id.values()):
        return None
    return in_order(by_id)


def _size(height_and_width: Any) -> Size | None:
    if isinstance(height_and_width, int):
        height_and_width = [height_and_width] * 2
    if not isinstance(height_and_width, list | tuple) or len(height_and_width) != 2:
        return None
    height, width = height_and_width
    if not all(type(side) is int and 8 <= side <= MAX_SIDE for side in (height, width)):
        return None
    return width, height


def _are_numbers(values: Any) -> bool:
    """Whether this is a number for each of three channels."""
    return isinstance(values, list) and len(values) == 3 and all(type(value) in (int, float) for value in values)


def _literal(text: str) -> Any:
    """The value of a Python literal; the text itself if it is none."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _json(file: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if there is none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
