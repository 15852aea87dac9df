"""Training data: folders of real pictures in Pascal VOC's format, and what the network should answer for a picture."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from xml.etree import ElementTree

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import IterableDataset

from detectors.catalogue import Input
from detectors.preprocess import Pixels, place
from training.cards import draw_card
from training.layout import INPUT_SIZE, LABELS, STRIDE
from training.sheet import Box

INPUT = Input(width=INPUT_SIZE, height=INPUT_SIZE, resize="letterbox", layout="NHWC", dtype="uint8")
"""What weights/catalogue.toml says of the model's input."""
PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
LONGEST_SIDE = 800
"""Pixels: real pictures are kept in memory no larger than this, twice what the network sees."""
REMEMBERED, USES = 1000, 3
"""How many generated cards are kept for another use, and how often each is used, about."""
SPREAD, WIDEST = 0.09, 3.0
"""Standard deviation of a target's peak: this share of the box, at most so many cells."""


@dataclass(frozen=True)
class Example:
    """A picture with the boxes a person drew.

    Of the labels that are not in `known` nobody knows whether they are in the picture; `unclear` are places where
    something is that has no usable label.
    """

    name: str
    image: Image.Image
    boxes: tuple[Box, ...]
    known: frozenset[str] = frozenset(LABELS)
    unclear: tuple[Box, ...] = ()


def read_voc(folder: Path) -> tuple[list[Example], list[str]]:
    """All pictures of a folder of Pascal VOC annotations, by name; and a line for everything that was skipped.

    A label that occurs nowhere in the folder counts as not looked for.
    """
    examples: list[Example] = []
    skipped: list[str] = []
    for annotation in sorted(folder.glob("*.xml")):
        try:
            objects = ElementTree.parse(annotation).getroot().findall("object")  # noqa: S314 - the user's own files
        except ElementTree.ParseError as error:
            skipped.append(f"{annotation.name}: not readable as XML ({error})")
            continue
        picture = next((p for end in PICTURE_ENDINGS if (p := annotation.with_suffix(end)).exists()), None)
        if picture is None:
            skipped.append(f"{annotation.name}: no picture of that name")
            continue
        try:
            with Image.open(picture) as file:
                image = ImageOps.exif_transpose(file).convert("RGB")
        except (UnidentifiedImageError, OSError) as error:
            skipped.append(f"{picture.name}: not readable as a picture ({error})")
            continue
        boxes, unclear = [], []
        for number, found in enumerate(objects, start=1):
            box = _box(found)
            if box is None:
                skipped.append(f"{annotation.name}: object {number} has no box with a width and a height")
            elif box.label not in LABELS:
                skipped.append(f"{annotation.name}: object {number} has the unknown label {box.label!r}")
                unclear.append(box)
            else:
                boxes.append(box)
        small = image.copy()
        small.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        by = small.width / image.width
        examples.append(Example(picture.name, small, tuple(_scaled(boxes, by)), unclear=tuple(_scaled(unclear, by))))
    known = frozenset(box.label for example in examples for box in example.boxes)
    return [replace(example, known=known) for example in examples], skipped


def _box(found: ElementTree.Element) -> Box | None:
    try:
        x1, y1, x2, y2 = (float(found.findtext(f"bndbox/{side}", "")) for side in ("xmin", "ymin", "xmax", "ymax"))
    except ValueError:
        return None
    return Box(found.findtext("name", "").strip(), x1, y1, x2, y2) if x2 > x1 and y2 > y1 else None


def _scaled(boxes: list[Box] | tuple[Box, ...], by: float, dx: float = 0.0, dy: float = 0.0) -> list[Box]:
    return [Box(b.label, b.x1 * by + dx, b.y1 * by + dy, b.x2 * by + dx, b.y2 * by + dy) for b in boxes]


def split(examples: list[Example], held_out: int, seed: int) -> tuple[list[Example], list[Example]]:
    """(for training, held out): the same ones for the same seed."""
    shuffled = sorted(examples, key=lambda example: example.name)
    Random(seed).shuffle(shuffled)
    return shuffled[held_out:], shuffled[:held_out]


def varied(rng: Random, example: Example) -> Example:
    """The same picture in another place, size and colour; boxes that are cut by more than half become unclear."""
    width, height = example.image.size
    left, right = (rng.uniform(-0.25, 0.15) * width for _ in range(2))
    top, bottom = (rng.uniform(-0.25, 0.15) * height for _ in range(2))
    if rng.random() < 0.3:
        left = right = top = bottom = 0.0
    # Positive margins are cut off, negative ones are filled with the colour of a corner.
    image = example.image
    w, h = max(32, round(width - left - right)), max(32, round(height - top - bottom))
    corner = image.getpixel((0, 0))
    assert isinstance(corner, tuple)
    moved = Image.new("RGB", (w, h), tuple(map(int, corner)))
    moved.paste(image, (-round(left), -round(top)))
    stretch = rng.uniform(0.8, 1.25)
    moved = moved.resize((max(32, round(w * stretch)), h), Image.Resampling.BILINEAR)
    boxes: list[Box] = []
    unclear: list[Box] = []
    for whole, clear in [(b, True) for b in example.boxes] + [(b, False) for b in example.unclear]:
        box = Box(
            whole.label,
            max(0.0, (whole.x1 - round(left)) * stretch),
            max(0.0, whole.y1 - round(top)),
            min(float(moved.width), (whole.x2 - round(left)) * stretch),
            min(float(h), whole.y2 - round(top)),
        )
        if box.x2 - box.x1 < 2 or box.y2 - box.y1 < 2:
            continue
        area = (box.x2 - box.x1) * (box.y2 - box.y1)
        enough = area > 0.6 * stretch * (whole.x2 - whole.x1) * (whole.y2 - whole.y1)
        (boxes if clear and enough else unclear).append(box)
    return Example(example.name, _recoloured(rng, moved), tuple(boxes), example.known, tuple(unclear))


def _recoloured(rng: Random, image: Image.Image) -> Image.Image:
    if rng.random() < 0.25:
        image = ImageOps.invert(image)
    if rng.random() < 0.4:
        bands = list(image.split())
        rng.shuffle(bands)
        image = Image.merge("RGB", bands)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        if rng.random() < 0.5:
            image = enhance(image).enhance(rng.uniform(0.6, 1.3))
    return image


def as_input(image: Image.Image) -> tuple[Pixels, float]:
    """An RGB picture as the model sees it, uint8 [384, 384, 3], and by how much it was scaled."""
    return place(np.asarray(image), INPUT), min(INPUT.width / image.width, INPUT.height / image.height)


def targets(example: Example) -> dict[str, Tensor]:
    """What the network sees and should answer; n = 96 cells a side.

    image uint8 [384, 384, 3]; heat [6, n, n], 0..1, 1 at the centres; care [6, n, n], 0 where nobody knows;
    distances [6, 4, n, n] in cells to left, top, right, bottom; weight [6, n, n] of the distances, 1 in all per box.
    """
    n = INPUT_SIZE // STRIDE
    square, scale = as_input(example.image)
    heat = np.zeros((len(LABELS), n, n), np.float32)
    weight = np.zeros_like(heat)
    distances = np.ones((len(LABELS), 4, n, n), np.float32)
    care = np.zeros_like(heat)
    care[[LABELS.index(label) for label in example.known]] = 1.0
    for box in _scaled(example.unclear, scale / STRIDE):
        care[:, _cells(box.y1, box.y2, n), _cells(box.x1, box.x2, n)] = 0.0
    centres = np.arange(n, dtype=np.float32) + 0.5
    boxes = _scaled(example.boxes, scale / STRIDE)
    for box in sorted(boxes, key=lambda b: (b.x1 - b.x2) * (b.y2 - b.y1)):  # small ones last: they win
        kind = LABELS.index(box.label)
        column = min(n - 1, int((box.x1 + box.x2) / 2))
        row = min(n - 1, int((box.y1 + box.y2) / 2))
        across = _bell(centres, column + 0.5, box.x2 - box.x1)
        down = _bell(centres, row + 0.5, box.y2 - box.y1)
        peak = np.outer(down, across)
        heat[kind] = np.maximum(heat[kind], peak)
        core = (peak > 0.3) & (np.outer(_within(centres, box.y1, box.y2), _within(centres, box.x1, box.x2)))
        core[row, column] = True
        weight[kind][core] = peak[core] / peak[core].sum()
        x, y = np.meshgrid(centres, centres)
        for side, distance in enumerate((x - box.x1, y - box.y1, box.x2 - x, box.y2 - y)):
            distances[kind, side][core] = np.maximum(distance, 0.05)[core]
    arrays: dict[str, np.ndarray] = {
        "image": square,
        "heat": heat,
        "care": care,
        "distances": distances,
        "weight": weight,
    }
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}


def _cells(start: float, end: float, n: int) -> slice:
    return slice(max(0, int(start)), min(n, math.ceil(end)))


def _bell(centres: np.ndarray, middle: float, size: float) -> np.ndarray:
    sigma = min(WIDEST, max(0.35, SPREAD * size + 1 / 6))
    return np.exp(-((centres - middle) ** 2) / (2 * sigma**2))


def _within(centres: np.ndarray, start: float, end: float) -> np.ndarray:
    return (centres > start) & (centres < end)


class Stream(IterableDataset[dict[str, Tensor]]):
    """Endless training data: generated cards, and among them so large a share (0..1) of varied real pictures.

    Drawing a card takes longer than learning from it, so each one comes back several times, varied.
    """

    def __init__(self, seed: int, real: list[Example], share: float) -> None:
        self.seed, self.real, self.share = seed, real, share if real else 0.0

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        worker = torch.utils.data.get_worker_info()
        rng = Random(f"{self.seed} {worker.id if worker else 0}")
        drawn: list[Example] = []
        while True:
            if rng.random() < self.share:
                yield targets(varied(rng, rng.choice(self.real)))
            elif len(drawn) < REMEMBERED / 10 or rng.random() < 1 / USES:
                card = draw_card(rng.getrandbits(40))
                example = Example("generated", card.image, card.boxes)
                if len(drawn) == REMEMBERED:
                    drawn[rng.randrange(REMEMBERED)] = example
                else:
                    drawn.append(example)
                yield targets(example)
            else:
                yield targets(varied(rng, rng.choice(drawn)))
