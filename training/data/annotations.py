"""Parses annotation files, Pascal VOC and COCO. `training.data.datasets` compares the result with the pictures."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

from training.boxes import Box

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
MISSING = math.nan
"""A coordinate that is missing in the annotation."""


@dataclass(frozen=True)
class AnnotatedObject(Box):
    """One object as it is in the file. Its corners may be any numbers, also NaN."""

    evaluated: bool = True
    """False for objects that the format excludes from evaluation: COCO's crowds, Pascal VOC's difficult objects."""


@dataclass
class Annotation:
    """The annotation of one picture."""

    name: str
    """File name for messages: of the annotation file (Pascal VOC) or of the picture (COCO)."""
    picture: Path | None
    """None if the picture does not exist."""
    size: tuple[int, int] | None
    """Width and height of the picture in pixels, as written in the file. None if they are not in the file."""
    objects: list[AnnotatedObject] = field(default_factory=list)
    annotated_labels: frozenset[str] | None = None
    """The labels that were annotated in this picture: in COCO the categories of its file. None in Pascal VOC."""


@dataclass
class Annotations:
    """All annotations of a folder."""

    found: list[Annotation] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)
    """COCO's categories by id. They were annotated, even if no box has them."""
    unreadable: list[str] = field(default_factory=list)
    """A sentence for each file or part of a file that can't be read, starting with the file's name."""
    files: int = 0
    """Number of files of this format, readable or not."""


def read_voc(folder: Path) -> Annotations:
    """Pascal VOC: an XML file for each picture, beside it, or in Annotations/ with the pictures in JPEGImages/ or
    images/.

    The folder may also be a VOCdevkit, with such trees in VOC2007/, VOC2012/ and so on.
    """
    read = Annotations()
    roots = [folder, *sorted(path for path in folder.glob("VOC*") if path.is_dir())]
    for root in roots:
        for file in [*sorted(root.glob("*.xml")), *sorted(root.glob("[Aa]nnotations/*.xml"))]:
            try:
                xml = ElementTree.parse(file).getroot()  # noqa: S314 - the user's own files
            except (ElementTree.ParseError, OSError, ValueError, LookupError) as error:
                read.files += 1
                read.unreadable.append(f"{file.name}: it can't be read as XML ({error}).")
                continue
            if xml.tag != "annotation":
                continue  # XML of another kind
            read.files += 1
            size = (_positive_int(xml.findtext("size/width")), _positive_int(xml.findtext("size/height")))
            read.found.append(
                Annotation(
                    file.name,
                    _voc_picture(file, (xml.findtext("filename") or "").strip(), root),
                    size if all(size) else None,
                    [_voc_object(found) for found in xml.findall("object")],
                )
            )
    return read


def _voc_picture(file: Path, filename: str, root: Path) -> Path | None:
    """The picture of an XML file. A picture with the same stem has priority over the <filename>, because a copied
    annotation still has the <filename> of the original."""
    folders = (file.parent, root / "JPEGImages", root / "images", root)
    names = [file.stem + ending for end in PICTURE_ENDINGS for ending in (end, end.upper())]
    name = PurePosixPath(filename.replace("\\", "/")).name
    if name:
        names.insert(0 if PurePosixPath(name).stem == file.stem else len(names), name)
    return next((path for name in names for parent in folders if _is_file(path := parent / name)), None)


def _voc_object(found: ElementTree.Element) -> AnnotatedObject:
    x1, y1, x2, y2 = (_number(found.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax"))
    evaluated = (found.findtext("difficult") or "").strip() not in ("1", "true")
    return AnnotatedObject((found.findtext("name") or "").strip(), x1, y1, x2, y2, evaluated)


def read_coco(folder: Path) -> Annotations:
    """COCO: JSON files with images, annotations and categories, in the folder or its annotations/."""
    read = Annotations()
    pictures = Pictures(folder)
    for file in [*sorted(folder.glob("*.json")), *sorted(folder.glob("annotations/*.json"))]:
        try:
            data = json.loads(file.read_bytes())
        except (ValueError, OSError, RecursionError) as error:
            read.files += 1
            read.unreadable.append(f"{file.name}: it can't be read as JSON ({error}).")
            continue
        parts = ("images", "annotations", "categories")
        if not isinstance(data, dict) or not all(isinstance(data.get(part), list) for part in parts):
            continue  # JSON of another kind
        read.files += 1
        try:
            categories, found, stray = _coco_file(data, pictures)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            read.unreadable.append(f"{file.name}: it is not in COCO's format ({type(error).__name__}: {error}).")
            continue
        read.categories = list(dict.fromkeys([*read.categories, *categories]))
        read.found += found
        if stray:
            read.unreadable.append(f"{file.name}: {stray} of its annotations are of pictures that it does not list.")
    return read


def _coco_file(data: dict[str, Any], pictures: "Pictures") -> tuple[list[str], list[Annotation], int]:
    """Labels by category id, the annotation of each picture, and the number of entries for unlisted pictures."""
    labels = {entry["id"]: str(entry["name"]).strip() for entry in sorted(data["categories"], key=lambda c: c["id"])}
    of_image: dict[Any, Annotation] = {}
    for image in data["images"]:
        size = (_positive_int(image.get("width")), _positive_int(image.get("height")))
        name = str(image["file_name"])
        annotation = Annotation(name, pictures.find(name), size if all(size) else None)
        annotation.annotated_labels = frozenset(labels.values())
        of_image.setdefault(image["id"], annotation)  # An id that is listed twice is one picture.
    stray = 0
    for entry in data["annotations"]:
        if entry["image_id"] in of_image:
            of_image[entry["image_id"]].objects.append(_coco_object(entry, labels))
        else:
            stray += 1
    return list(labels.values()), list(of_image.values()), stray


def _coco_object(entry: dict[str, Any], labels: dict[Any, str]) -> AnnotatedObject:
    box = entry.get("bbox")
    x, y, wide, high = map(_number, box) if isinstance(box, list) and len(box) == 4 else (MISSING,) * 4
    label = labels.get(entry.get("category_id"), f"category {entry.get('category_id')}")
    return AnnotatedObject(label, x, y, x + wide, y + high, evaluated=not entry.get("iscrowd"))


class Pictures:
    """Finds the pictures below a folder by their names in COCO files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, name: str) -> Path | None:
        """Looks in the folder and in its images/, then for the only picture of that name anywhere below the folder."""
        name = name.replace("\\", "/")
        base = PurePosixPath(name).name
        for path in (self._folder / name, self._folder / "images" / name, self._folder / "images" / base):
            if base and _is_file(path):
                return path
        same = self._by_name.get(base, [])
        return same[0] if len(same) == 1 else None

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        named: dict[str, list[Path]] = {}
        for path in _files_below(self._folder):
            named.setdefault(path.name, []).append(path)
        return named


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # an impossible name, such as a URL with a long signature
        return False


def _files_below(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in PICTURE_ENDINGS and path.is_file())


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return MISSING


def _positive_int(value: Any) -> int:
    """The rounded number, or 0 if it is not a positive number."""
    number = _number(value)
    return round(number) if math.isfinite(number) and number > 0 else 0
