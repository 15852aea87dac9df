"""The catalogue of a trained model: an entry for each format in which it is written."""

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
    "onnx": ("onnx", "onnx", "onnx"),
}
"""Format -> suffix of the entry's name, runtime, suffix of the file's name."""
MIN_SCORE = 0.4
"""Lowest score that is shown if a request does not set `min_score`."""
FLOOR_SCORE = 0.1
"""Lowest score that is stored."""
BATCH_SIZE = 4
"""The tensors of larger batches exceed 32 MB. The C library requests such memory from the system and returns it each
time. This makes detection on a CPU a fifth slower."""

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
OUTPUTS = {
    "pt2": """
boxes = 0 # position of each output in what the program returns
scores = 1
classes = 2
box_order = "xyxy"
coordinates = "pixels" # of the model's input""",
    "onnx": """
boxes = "boxes"
scores = "scores"
classes = "classes"
box_order = "xyxy"
coordinates = "pixels" # of the model's input""",
}
"""Format -> its output, where it is not that of the Object Detection API."""
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
    """The facts about a model that only its catalogue has. The names of its files and entries start with `name`."""

    name: str
    labels: tuple[str, ...]
    description: str = ""
    licence: str = ""

    def file(self, kind: str) -> str:
        """Name of the file or folder of a format."""
        return f"{self.name}.{FORMATS[kind][2]}"

    def entries(self) -> list[str]:
        """Names of the entries, one for each format."""
        return [f"{self.name}-{suffix}" for suffix, _, _ in FORMATS.values()]


def catalogue_text(described: Description, digests: Sequence[str]) -> str:
    """The text of catalogue.toml, with an entry for each format. The digests are in the order of FORMATS."""
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
                output=OUTPUTS.get(kind, OBJECT_DETECTION_API_OUTPUT),
                batch=BATCH_SIZE,
                floor=FLOOR_SCORE,
                least=MIN_SCORE,
            )
        )
    return "".join(parts)


def catalogue_error(described: Description) -> str | None:
    """The error message of a worker that loads a catalogue of this model. None if the catalogue is valid."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "catalogue.toml"
        try:
            file.write_text(catalogue_text(described, ["0" * 64] * len(FORMATS)), encoding="utf-8")
            Catalogue.load(file)
        except (CatalogueError, UnicodeError) as error:
            return str(error)
    return None


def _key(name: str) -> str:
    """A key for TOML. A name with a dot is quoted, because a bare key with a dot makes a table within a table."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name)


def _quoted(value: str | Sequence[str]) -> str:
    """A string or a list of strings for TOML. JSON is the same, because no surrogate pairs are escaped here."""
    return json.dumps(value, ensure_ascii=False)


def read_description(catalogue: Path) -> Description:
    """The description in a catalogue that `catalogue_text` wrote."""
    tables = tomllib.loads(catalogue.read_text(encoding="utf-8"))
    entry = next(table for table in tables.values() if table["format"] == "pt2")
    return Description(Path(entry["file"]).stem, tuple(entry["labels"]), entry["description"], entry["licence"])
