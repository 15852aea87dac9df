"""Reads label files: text, label maps of TensorFlow, and COCO files."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from detectors.errors import CatalogueError

_ITEM = re.compile(r"\bitem\s*\{(.*?)\}", re.DOTALL)
_FIELD = re.compile(r"""\b(id|name|display_name)\s*:\s*(?:(\d+)|"([^"]*)"|'([^']*)')""")


def read_labels(path: Path) -> list[str] | Mapping[int, str]:
    """The labels of a file: a list, or class id -> label if the file has ids.

    `.pbtxt`: a label map, `item { id: 1 name: "…" display_name: "…" }`; the display name is preferred. `.json`: the
    `categories` of a COCO file. Any other ending: text, one label per line. Raises `CatalogueError`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise CatalogueError(f"{path} can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise CatalogueError(f"{path} is not UTF-8 text: {error}.") from error
    if path.suffix == ".pbtxt":
        pairs = _label_map(text)
    elif path.suffix == ".json":
        pairs = _categories(path, text)
    else:
        return [line.strip() for line in text.splitlines() if line.strip()]
    labels = dict(pairs)
    if len(labels) < len(pairs):
        raise CatalogueError(f"{path} has two labels for one class id.")
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


def _categories(path: Path, text: str) -> list[tuple[int, str]]:
    try:
        return [(int(one["id"]), str(one["name"])) for one in json.loads(text)["categories"]]
    except (ValueError, KeyError, TypeError) as error:
        raise CatalogueError(
            f"{path} has no `categories` with `id` and `name`, as COCO writes them: {error}."
        ) from error
