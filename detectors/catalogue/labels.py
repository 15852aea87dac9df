"""Reads label files: text, label maps of TensorFlow, COCO files, and those of the YOLO family and of Hugging Face."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from detectors.errors import CatalogueError

Labels = Sequence[str] | Mapping[int, str]
"""In order, or by class id."""

_ITEM = re.compile(r"\bitem\s*\{(.*?)\}", re.DOTALL)
_FIELD = re.compile(r"""\b(id|name|display_name)\s*:\s*(?:(\d+)|"([^"]*)"|'([^']*)')""")
_NAMES = re.compile(r"^names\s*:", re.MULTILINE)
# Every value stays a string: YAML would make booleans of `yes` and `on`, which are good labels.
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def read_labels(path: Path) -> Labels:
    """The labels of a file: a list, or class id -> label if the file has ids that do not count up from 0.

    `.pbtxt`: a label map of TensorFlow, `item { id: 1 name: "…" display_name: "…" }`; the display name is preferred.
    `.json`: the `categories` of a COCO file, `id2label` of Hugging Face, a list, or an object id -> label. `.yaml`: the
    `names` of a `data.yaml`. Any other ending: text, one label per line; or one of these, if it looks like it.

    Raises `CatalogueError`.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CatalogueError(f"{path} can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise CatalogueError(f"{path} is not UTF-8 text: {error}.") from error
    if "\0" in text:
        raise CatalogueError(f"{path} is no text file: it has zero bytes.")
    labels: Labels
    if path.suffix == ".pbtxt":
        labels = _by_id(path, _label_map(text))
    elif path.suffix == ".json" or text.lstrip()[:1] in ("{", "["):
        labels = _of_json(path, text)
    elif path.suffix in (".yaml", ".yml") or _NAMES.search(text):
        labels = _of_yaml(path, text)
    else:
        labels = [line.strip() for line in text.splitlines() if line.strip()]
    if not labels:
        raise CatalogueError(f"{path} has no labels.")
    return labels


def _label_map(text: str) -> list[tuple[int, str]]:
    pairs = []
    for item in _ITEM.findall(re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)):
        fields = {name: number or double or single for name, number, double, single in _FIELD.findall(item)}
        label = fields.get("display_name") or fields.get("name")
        if "id" in fields and label:
            pairs.append((int(fields["id"]), label))
    return pairs


def _of_json(path: Path, text: str) -> Labels:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CatalogueError(f"{path} is no JSON: {error}.") from error
    if isinstance(value, dict) and isinstance(value.get("categories"), list):
        try:
            return _by_id(path, [(int(one["id"]), str(one["name"])) for one in value["categories"]])
        except (ValueError, KeyError, TypeError) as error:
            raise CatalogueError(
                f"{path} has no `categories` with `id` and `name`, as COCO writes them: {error!r}."
            ) from error
    if isinstance(value, dict) and "id2label" in value:
        value = value["id2label"]
    return _named(path, value, "`categories` of COCO, `id2label` of Hugging Face, a list, or an object id: label")


def _of_yaml(path: Path, text: str) -> Labels:
    try:
        value = yaml.load(text, _LOADER)  # noqa: S506 - this loader makes strings, lists and dictionaries only
    except (yaml.YAMLError, RecursionError) as error:
        raise CatalogueError(f"{path} is no YAML: {' '.join(str(error).split())}.") from error
    if isinstance(value, dict) and "names" in value:
        value = value["names"]
    return _named(path, value, "`names`, as a data.yaml has them: a list, or id: label")


def _named(path: Path, value: Any, wanted: str) -> Labels:
    """Labels of a list, or of an object id -> label."""
    if isinstance(value, list) and all(isinstance(label, str) and label.strip() for label in value):
        return [label.strip() for label in value]
    if isinstance(value, dict) and all(isinstance(label, str) and label.strip() for label in value.values()):
        try:
            return in_order(_by_id(path, [(int(number), label.strip()) for number, label in value.items()]))
        except ValueError:
            pass  # other keys than numbers
    raise CatalogueError(f"{path} has no labels: it needs {wanted}.")


def _by_id(path: Path, pairs: Sequence[tuple[int, str]]) -> Mapping[int, str]:
    labels = dict(pairs)
    if len(labels) < len(pairs):
        raise CatalogueError(f"{path} has two labels for one class id.")
    if not labels:
        raise CatalogueError(f"{path} has no labels.")
    if min(labels) < 0:
        raise CatalogueError(f"{path} has the class id {min(labels)}: ids count from 0.")
    return labels


def in_order(labels: Mapping[int, str]) -> Labels:
    """A list, if the ids count up from 0; otherwise what was given."""
    return [labels[number] for number in sorted(labels)] if sorted(labels) == list(range(len(labels))) else labels
