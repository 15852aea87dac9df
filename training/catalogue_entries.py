"""The catalogue of a trained model: an entry for each file that it is written as."""

from __future__ import annotations

import json
import re
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detectors.catalogue import Catalogue
from detectors.errors import CatalogueError
from training.model.layout import INPUT_SIZE

FORMATS = {
    "pt2": ("pytorch", "pytorch", "pt2"),
    "saved_model": ("tensorflow", "tensorflow", "saved_model"),
    "frozen_graph": ("frozen", "tensorflow", "pb"),
}
"""Format -> what the entry's name ends with, its runtime, what the file's name ends with."""
MIN_SCORE = 0.4
"""What is shown unless a request says otherwise."""
FLOOR_SCORE = 0.1
"""What is stored."""
BATCH_SIZE = 4
"""Of more pictures the largest tensors have more than 32 MB, which the C library fetches from the system and gives back
each time: a fifth slower on a CPU."""

ENTRY = """
[{name}]
runtime = "{runtime}"
format = "{format}"
file = "{file}"
sha256 = "{sha256}"
licence = {licence}
description = {description}
labels = {labels}
batch_size = {batch}

[{name}.input]
width = {size}
height = {size}
resize = "letterbox" # keeps the aspect ratio; the picture is at the top left, the rest is grey
layout = "NHWC"
dtype = "uint8"

[{name}.output]{output}
floor_score = {floor}

[{name}.defaults]
min_score = {least}
"""
PROGRAM_OUTPUT = """
boxes = 0 # position of each output in what the program returns
scores = 1
classes = 2
box_order = "xyxy"
coordinates = "pixels" # of the model's input"""
OBJECT_DETECTION_API_OUTPUT = """ # as the Object Detection API names and writes them
boxes = "detection_boxes"
scores = "detection_scores"
classes = "detection_classes"
count = "num_detections"
first_class = 1
box_order = "yxyx"
coordinates = "normalised\""""


@dataclass(frozen=True)
class Description:
    """What a catalogue says of a model that its files don't. `name` is what files and entries are called after."""

    name: str
    labels: tuple[str, ...]
    description: str = ""
    licence: str = ""

    def file(self, kind: str) -> str:
        """Name of the file or folder of a format."""
        return f"{self.name}.{FORMATS[kind][2]}"

    def entries(self) -> list[str]:
        """Names of the entries, a format each."""
        return [f"{self.name}-{suffix}" for suffix, _, _ in FORMATS.values()]


def catalogue_text(described: Description, digests: Sequence[str]) -> str:
    """catalogue.toml: an entry a format; the digests are in the order of FORMATS."""
    parts = ["# The models that can be asked for. A file is relative to this one, or a URI.\n"]
    for (kind, (suffix, runtime, _)), digest in zip(FORMATS.items(), digests, strict=True):
        parts.append(
            ENTRY.format(
                name=_key(f"{described.name}-{suffix}"),
                runtime=runtime,
                format=kind,
                file=described.file(kind),
                sha256=digest,
                licence=_quoted(described.licence),
                description=_quoted(described.description),
                labels=_quoted(described.labels),
                size=INPUT_SIZE,
                output=PROGRAM_OUTPUT if kind == "pt2" else OBJECT_DETECTION_API_OUTPUT,
                batch=BATCH_SIZE,
                floor=FLOOR_SCORE,
                least=MIN_SCORE,
            )
        )
    return "".join(parts)


def refused(described: Description) -> str | None:
    """What the workers would have against a catalogue of this model."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "catalogue.toml"
        try:
            file.write_text(catalogue_text(described, ["0" * 64] * len(FORMATS)), encoding="utf-8")
            Catalogue.load(file)
        except (CatalogueError, UnicodeError) as error:
            return str(error)
    return None


def _key(name: str) -> str:
    """A dot in a bare key would make a table within a table."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name)


def _quoted(value: str | Sequence[str]) -> str:
    """JSON's strings are TOML's too, and so are lists of them, unless characters are written as two halves."""
    return json.dumps(value, ensure_ascii=False)


def described_by(catalogue: Path) -> Description:
    """What a catalogue that was written here says of its model."""
    tables = tomllib.loads(catalogue.read_text(encoding="utf-8"))
    entry = next(table for table in tables.values() if table["format"] == "pt2")
    return Description(Path(entry["file"]).stem, tuple(entry["labels"]), entry["description"], entry["licence"])
