"""Labelled folders: pictures with the boxes that people drew, in Pascal VOC's format or COCO's.

What can't be trusted is skipped and named, never trained on and never counted.
"""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from detectors.errors import PictureUndecodable
from detectors.pictures.decode import decode
from detectors.pictures.formats import FORMATS
from detectors.pictures.orientation import QUARTER_TURNS
from training.cards.rendering.sheet import Box
from training.data.annotations import Annotation, Annotations, Drawn, read_coco, read_voc

LEAST_INSIDE = 0.5
"""A box of which less than this share lies in the picture is no longer the box of that object."""


class DatasetUnusable(Exception):
    """The folder gives nothing to train on or to measure with. `str(error)` is one sentence."""


@dataclass(frozen=True)
class Example:
    """A picture and the boxes a person drew, in pixels of the picture as a person sees it (EXIF turned).

    `known` are the labels that were looked for in this picture; nothing is known about the others. `unclear` are
    places where something is that has no usable label or box: neither trained on nor counted.
    """

    file: Path
    width: int
    height: int
    boxes: tuple[Box, ...]
    known: frozenset[str]
    unclear: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """A labelled folder. `skipped` has a sentence for everything left out, starting with the file's name."""

    examples: list[Example]
    labels: tuple[str, ...]
    skipped: list[str]


def read(folder: Path, labels: Sequence[str] | None = None, *, trusted: bool = False) -> Dataset:
    """The examples of a folder, sorted by file.

    Without `labels`, all that occur in it: in the order of their category ids in COCO, by name in Pascal VOC. With
    them, every other label is unknown, and of them only those count as looked for that some box in the folder has.
    Every picture is decoded to see whether it can be, and is as large as its annotation says, unless it is `trusted`.

    Raises `DatasetUnusable`.
    """
    written = _written(folder)
    by_name = sorted({drawn.label for one in written.found for drawn in one.objects if drawn.counts})
    named = [label for label in written.categories or by_name if any(map(str.isalnum, label))]
    wanted = tuple(named if labels is None else labels)
    skipped = list(written.unreadable)
    read_files: dict[Path, Example] = {}
    for one in written.found:
        example = _example(one, wanted, skipped, trusted)
        if example is None:
            continue
        before = read_files.get(example.file)
        read_files[example.file] = example if before is None else _together(before, example)
    if not read_files:
        raise DatasetUnusable(f"No picture of {folder} can be used: {' '.join(skipped[:3]) or 'it lists none.'}")
    examples = [read_files[file] for file in sorted(read_files)]
    if labels is not None:
        known = frozenset(box.label for example in examples for box in example.boxes)
        examples = [replace(example, known=known & example.known) for example in examples]
    return Dataset(examples, wanted, skipped)


def _written(folder: Path) -> Annotations:
    if not folder.is_dir():
        raise DatasetUnusable(f"There is no folder {folder}.")
    voc, coco = read_voc(folder), read_coco(folder)
    if voc.files and coco.files:
        raise DatasetUnusable(
            f"{folder} has annotations both as XML (Pascal VOC) and as JSON (COCO): move those away that don't apply."
        )
    if not voc.files and not coco.files:
        raise DatasetUnusable(
            f"{folder} has no annotations: neither Pascal VOC (an .xml beside each picture, or Annotations/ and "
            "JPEGImages/) nor COCO (a .json with images, annotations and categories, here or in annotations/)."
        )
    return voc if voc.files else coco


def _example(one: Annotation, labels: tuple[str, ...], skipped: list[str], trusted: bool) -> Example | None:
    """Compares what is written with the picture; adds to `skipped` what does not fit."""
    if one.picture is None:
        skipped.append(f"{one.name}: its picture is not there.")
        return None
    try:
        width, height = one.size if trusted and one.size is not None else _size(one.picture)
    except (OSError, PictureUndecodable, Image.DecompressionBombError) as error:
        skipped.append(f"{one.picture.name}: it can't be read as a picture ({error}).")
        return None
    objects = one.objects
    if one.size is not None and one.size != (width, height):
        turn = _turn(one.picture)
        if turn not in QUARTER_TURNS or one.size != (height, width):
            skipped.append(
                f"{one.picture.name}: its boxes are for a picture of {one.size[0]} × {one.size[1]} pixels, but it has "
                f"{width} × {height}."
            )
            return None
        # They were drawn on the picture as it is stored.
        objects = [_turned(drawn, turn, *one.size) for drawn in objects]
    boxes, unclear = _usable(one.name, objects, (width, height), labels, skipped)
    known = frozenset(labels) if one.looked_for is None else one.looked_for & frozenset(labels)
    return Example(one.picture, width, height, boxes, known, unclear)


def _usable(
    name: str, objects: Sequence[Drawn], size: tuple[int, int], labels: tuple[str, ...], skipped: list[str]
) -> tuple[tuple[Box, ...], tuple[Box, ...]]:
    """What to look for in a picture of that size, and the places about which nothing is known."""
    boxes: list[Box] = []
    unclear: list[Box] = []
    unknown: Counter[str] = Counter()
    for number, drawn in enumerate(objects, start=1):
        box, inside = _clipped(drawn, *size)
        if drawn.counts and drawn.label not in labels:
            unknown[drawn.label] += 1
        if box is None:
            skipped.append(f"{name}: box {number} ({drawn.label}) has no width or height inside the picture.")
        elif not drawn.counts or drawn.label not in labels:
            unclear.append(box)
        elif inside < LEAST_INSIDE:
            skipped.append(f"{name}: box {number} ({drawn.label}) lies mostly outside the picture.")
            unclear.append(box)
        else:
            boxes.append(box)
    for label, count in unknown.items():
        skipped.append(f"{name}: {count} {'box has' if count == 1 else 'boxes have'} the unknown label {label!r}.")
    return _once(boxes), _places(unclear)


def _size(picture: Path) -> tuple[int, int]:
    """Width and height, EXIF turned, of a picture that can be decoded."""
    decoded = decode(picture.read_bytes())
    return decoded.width, decoded.height


def _clipped(drawn: Drawn, width: int, height: int) -> tuple[Box | None, float]:
    """What of the box lies in the picture, and which share of it, 0..1; None where nothing does or it is no box."""
    area = (drawn.x2 - drawn.x1) * (drawn.y2 - drawn.y1)
    box = Box(
        drawn.label,
        max(0.0, drawn.x1),
        max(0.0, drawn.y1),
        min(float(width), drawn.x2),
        min(float(height), drawn.y2),
    )
    # NaN compares as false; max and min would have hidden it.
    if not (drawn.x2 > drawn.x1 and drawn.y2 > drawn.y1 and area > 0 and box.x2 > box.x1 and box.y2 > box.y1):
        return None, 0.0
    return box, (box.x2 - box.x1) * (box.y2 - box.y1) / area


def _turn(picture: Path) -> int:
    """EXIF's orientation, 1..8, of a picture that can be decoded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torn EXIF blocks and the like
        with Image.open(picture, formats=list(FORMATS)) as image:
            return int(image.getexif().get(ExifTags.Base.Orientation, 1))


def _turned(drawn: Drawn, turn: int, width: int, height: int) -> Drawn:
    """A box of the stored picture, `width` × `height`, in the one that is turned by EXIF's 5, 6, 7 or 8."""
    x1, x2 = (width - drawn.x2, width - drawn.x1) if turn in (7, 8) else (drawn.x1, drawn.x2)
    y1, y2 = (height - drawn.y2, height - drawn.y1) if turn in (6, 7) else (drawn.y1, drawn.y2)
    return replace(drawn, x1=y1, y1=x1, x2=y2, y2=x2)


def _together(first: Example, second: Example) -> Example:
    """The same picture, described twice."""
    return replace(
        first,
        boxes=_once(first.boxes + second.boxes),
        known=first.known | second.known,
        unclear=_places(first.unclear + second.unclear),
    )


def _once(boxes: Iterable[Box]) -> tuple[Box, ...]:
    return tuple(dict.fromkeys(boxes))


def _places(boxes: Iterable[Box]) -> tuple[Box, ...]:
    """Each place once, under whichever label it comes first."""
    return tuple({(box.x1, box.y1, box.x2, box.y2): box for box in reversed(list(boxes))}.values())[::-1]


def to_coco(examples: Sequence[Example], labels: Sequence[str], folder: Path | None = None) -> dict[str, Any]:
    """A COCO dataset; ids of images, categories and annotations start at 1. File names are relative to `folder`.

    Unclear places are crowds of every label, which COCO's evaluation does not count.
    """
    annotations: list[dict[str, Any]] = []
    for image_id, example in enumerate(examples, start=1):
        wanted = [(labels.index(box.label) + 1, box, 0) for box in example.boxes if box.label in labels]
        wanted += [(number, box, 1) for box in example.unclear for number in range(1, len(labels) + 1)]
        for category_id, box, crowd in wanted:
            wide, high = box.x2 - box.x1, box.y2 - box.y1
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": category_id,
                    "bbox": [box.x1, box.y1, wide, high],
                    "area": wide * high,
                    "iscrowd": crowd,
                }
            )
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


def write_coco(folder: Path, examples: Sequence[Example], labels: Sequence[str]) -> Path:
    """Writes `annotations.json` for pictures that lie below the folder, and returns its path."""
    path = folder / "annotations.json"
    path.write_text(json.dumps(to_coco(examples, labels, folder), indent=1), encoding="utf-8")
    return path
