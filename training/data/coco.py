"""Labelled pictures in COCO's format, as a file and for COCO's evaluation."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.boxes import Box
from training.data.datasets import Example


def to_coco(examples: Sequence[Example], labels: Sequence[str], folder: Path | None = None) -> dict[str, Any]:
    """A COCO dataset; ids of images, categories and annotations start at 1. File names are relative to `folder`.

    Unclear places become crowds of every label, because COCO's evaluation ignores crowds.
    """
    annotations: list[dict[str, Any]] = []
    for image_id, example in enumerate(examples, start=1):
        entries = [(labels.index(box.label) + 1, box, 0) for box in example.boxes if box.label in labels]
        entries += [(number, box, 1) for box in example.unclear for number in range(1, len(labels) + 1)]
        for category_id, box, crowd in entries:
            annotations.append(box_entry(len(annotations) + 1, image_id, category_id, box) | {"iscrowd": crowd})
    images = [
        {
            "id": number,
            "file_name": (example.file.relative_to(folder).as_posix() if folder else example.file.name),
            "width": example.width,
            "height": example.height,
        }
        for number, example in enumerate(examples, start=1)
    ]
    categories = [{"id": number, "name": label} for number, label in enumerate(labels, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def box_entry(number: int, image_id: int, category_id: int, box: Box) -> dict[str, Any]:
    """A box as COCO writes it, for an annotation or a result."""
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": [box.x1, box.y1, box.width, box.height],
        "area": box.area,
    }


def write_coco(folder: Path, examples: Sequence[Example], labels: Sequence[str]) -> Path:
    """Writes `annotations.json` for pictures that lie below the folder, and returns its path."""
    path = folder / "annotations.json"
    path.write_text(json.dumps(to_coco(examples, labels, folder), indent=1), encoding="utf-8")
    return path
