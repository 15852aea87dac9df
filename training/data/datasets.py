"""Reads labelled folders: pictures with boxes, in Pascal VOC's format or COCO's.

Annotations that are not usable are skipped and listed. They are neither trained on nor evaluated.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from detectors.errors import PictureError
from detectors.pictures.decode import decode
from detectors.pictures.headers import QUARTER_TURNS, read_header
from training.boxes import Box
from training.data.annotations import AnnotatedObject, Annotation, Annotations, read_coco, read_voc

MIN_INSIDE_SHARE = 0.5
"""A box is usable only if at least this share of it lies in the picture."""


class DatasetUnusable(Exception):
    """The folder has no usable pictures to train or measure with. `str(error)` is one sentence."""


@dataclass(frozen=True)
class Example:
    """A picture and its boxes, in pixels of the picture after it was turned by its EXIF orientation.

    `known` are the labels that were annotated in this picture. Objects of other labels may have no box. `unclear` are
    places with an object that has no usable label or box. They are neither trained on nor evaluated.
    """

    file: Path
    width: int
    height: int
    boxes: tuple[Box, ...]
    known: frozenset[str]
    unclear: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """A labelled folder. `skipped` has a sentence for each annotation left out, starting with the file's name."""

    examples: list[Example]
    labels: tuple[str, ...]
    skipped: list[str]


def read(folder: Path, labels: Sequence[str] | None = None, *, trusted: bool = False) -> Dataset:
    """The examples of a folder, sorted by file.

    Without `labels`, the dataset has all labels that occur in the folder: in the order of their category ids in COCO,
    by name in Pascal VOC. With `labels`, every other label is unknown, and a label counts as annotated only if a box
    in the folder has it. Every picture is decoded to check it and its size, unless the folder is `trusted`.

    Raises `DatasetUnusable`.
    """
    annotations = _read_annotations(folder)
    by_name = sorted({drawn.label for one in annotations.found for drawn in one.objects if drawn.evaluated})
    named = [label for label in annotations.categories or by_name if any(map(str.isalnum, label))]
    wanted = tuple(named if labels is None else labels)
    skipped = list(annotations.unreadable)
    read_files: dict[Path, Example] = {}
    for one in annotations.found:
        example = _example(one, wanted, skipped, trusted)
        if example is None:
            continue
        before = read_files.get(example.file)
        read_files[example.file] = example if before is None else _merged(before, example)
    if not read_files:
        raise DatasetUnusable(f"No picture of {folder} can be used: {' '.join(skipped[:3]) or 'it lists none.'}")
    examples = [read_files[file] for file in sorted(read_files)]
    if labels is not None:
        known = frozenset(box.label for example in examples for box in example.boxes)
        examples = [replace(example, known=known & example.known) for example in examples]
    return Dataset(examples, wanted, skipped)


def _read_annotations(folder: Path) -> Annotations:
    if not folder.is_dir():
        raise DatasetUnusable(f"There is no folder {folder}.")
    voc, coco = read_voc(folder), read_coco(folder)
    if voc.files and coco.files:
        raise DatasetUnusable(
            f"{folder} has annotations both as XML (Pascal VOC) and as JSON (COCO): keep only one kind there."
        )
    if not voc.files and not coco.files:
        raise DatasetUnusable(
            f"{folder} has no annotations: neither Pascal VOC (an .xml beside each picture, or Annotations/ and "
            "JPEGImages/) nor COCO (a .json with images, annotations and categories, here or in annotations/)."
        )
    return voc if voc.files else coco


def _example(one: Annotation, labels: tuple[str, ...], skipped: list[str], trusted: bool) -> Example | None:
    """Compares an annotation with its picture. Adds a sentence to `skipped` for what does not fit."""
    if one.picture is None:
        skipped.append(f"{one.name}: its picture is not there.")
        return None
    try:
        width, height = one.size if trusted and one.size is not None else _size(one.picture)
    except (OSError, PictureError) as error:
        skipped.append(f"{one.picture.name}: it can't be read as a picture ({error}).")
        return None
    objects = one.objects
    if one.size is not None and one.size != (width, height):
        turn = read_header(one.picture.read_bytes()).orientation
        if turn not in QUARTER_TURNS or one.size != (height, width):
            skipped.append(
                f"{one.picture.name}: its boxes are for a picture of {one.size[0]} × {one.size[1]} pixels, but it has "
                f"{width} × {height}."
            )
            return None
        # The boxes were drawn on the picture as it is stored.
        objects = [_turned(drawn, turn, *one.size) for drawn in objects]
    boxes, unclear = _usable_boxes(one.name, objects, (width, height), labels, skipped)
    known = frozenset(labels) if one.annotated_labels is None else one.annotated_labels & frozenset(labels)
    return Example(one.picture, width, height, boxes, known, unclear)


def _usable_boxes(
    name: str, objects: Sequence[AnnotatedObject], size: tuple[int, int], labels: tuple[str, ...], skipped: list[str]
) -> tuple[tuple[Box, ...], tuple[Box, ...]]:
    """The usable boxes in a picture of this size, and the unclear places. Adds a sentence to `skipped` for others."""
    boxes: list[Box] = []
    unclear: list[Box] = []
    unknown: Counter[str] = Counter()
    for number, drawn in enumerate(objects, start=1):
        box, inside = _clipped(drawn, *size)
        if drawn.evaluated and drawn.label not in labels:
            unknown[drawn.label] += 1
        if box is None:
            skipped.append(f"{name}: box {number} ({drawn.label}) has no width or height inside the picture.")
        elif not drawn.evaluated or drawn.label not in labels:
            unclear.append(box)
        elif inside < MIN_INSIDE_SHARE:
            skipped.append(f"{name}: box {number} ({drawn.label}) lies mostly outside the picture.")
            unclear.append(box)
        else:
            boxes.append(box)
    for label, count in unknown.items():
        skipped.append(f"{name}: {count} {'box has' if count == 1 else 'boxes have'} the unknown label {label!r}.")
    return _unique_boxes(boxes), _unique_places(unclear)


def _size(picture: Path) -> tuple[int, int]:
    """Width and height of the decoded picture, turned by its EXIF data."""
    decoded = decode(picture.read_bytes())
    return decoded.width, decoded.height


def _clipped(drawn: AnnotatedObject, width: int, height: int) -> tuple[Box | None, float]:
    """The part of the box that lies in the picture, and its share of the box's area, 0..1. None if no part lies in the
    picture, or if the corners make no box."""
    box = drawn.clipped(float(width), float(height))
    # Comparisons with NaN are false, so this also refuses NaN, which `clipped` may have replaced.
    if not (drawn.width > 0 and drawn.height > 0 and drawn.area > 0 and box.width > 0 and box.height > 0):
        return None, 0.0
    return box, box.area / drawn.area


def _turned(drawn: AnnotatedObject, turn: int, width: int, height: int) -> AnnotatedObject:
    """Moves a box of the stored picture, `width` × `height`, to the picture turned by EXIF orientation 5, 6, 7 or 8."""
    x1, x2 = (width - drawn.x2, width - drawn.x1) if turn in (7, 8) else (drawn.x1, drawn.x2)
    y1, y2 = (height - drawn.y2, height - drawn.y1) if turn in (6, 7) else (drawn.y1, drawn.y2)
    return replace(drawn, x1=y1, y1=x1, x2=y2, y2=x2)


def _merged(first: Example, second: Example) -> Example:
    """Merges two annotations of the same picture."""
    return replace(
        first,
        boxes=_unique_boxes(first.boxes + second.boxes),
        known=first.known | second.known,
        unclear=_unique_places(first.unclear + second.unclear),
    )


def _unique_boxes(boxes: Iterable[Box]) -> tuple[Box, ...]:
    return tuple(dict.fromkeys(boxes))


def _unique_places(boxes: Iterable[Box]) -> tuple[Box, ...]:
    """Removes boxes of the same place. The first of them stays."""
    return tuple({(box.x1, box.y1, box.x2, box.y2): box for box in reversed(list(boxes))}.values())[::-1]
