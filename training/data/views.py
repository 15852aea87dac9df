"""A labelled picture as the network sees it while it learns: moved, stretched, recoloured, damaged, letterboxed."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from detectors.catalogue import Input
from detectors.pictures.decode import decode
from detectors.pictures.preprocess import PADDING, Pixels, content_size, resize
from training.cards.rendering.sheet import Box
from training.data.datasets import Example
from training.model.layout import INPUT_SIZE, VIEW_SIZE

INPUT = Input(width=INPUT_SIZE, height=INPUT_SIZE, resize="letterbox", layout="NHWC", dtype="uint8")
"""What the catalogue says of the model's input."""
VIEW = Input(width=VIEW_SIZE, height=VIEW_SIZE)
"""The same while it learns."""
KEPT = Input(width=2 * VIEW_SIZE, height=2 * VIEW_SIZE)
"""Pictures are held in memory no larger than this, so that a part of one can still be enlarged."""
REMEMBERED = 512
"""Pictures: a small collection is decoded once only."""
UNVARIED = 0.2
"""Share of the views, among those that have the whole input for room, that are plain."""
MARGIN = (-0.2, 0.2)
"""What is cut from a side, or added to it where negative, as a share of the picture's width or height."""
STRETCH = 0.2
"""Logarithm of how much wider or narrower a picture gets, at most."""
CLOSE = (0.45, 0.85)
"""Width and height of the part that is seen in a close view, as shares of the picture's."""
MOSTLY = 0.6
"""A box of which less than this is in the view is neither something nor nothing."""
RESAMPLING = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BOX)


@dataclass(frozen=True)
class View:
    """What the network sees, RGB uint8 [h, w, 3], the picture at its top left; all boxes in its pixels."""

    pixels: Pixels
    boxes: tuple[Box, ...]
    unclear: tuple[Box, ...]


@lru_cache(REMEMBERED)
def _pixels(file: Path) -> Pixels:
    return decode(file.read_bytes(), KEPT).pixels


def plain(example: Example) -> View:
    """The whole picture, as the detector will see it but smaller; larger ones than KEPT were made smaller twice."""
    pixels = _pixels(example.file)
    height, width = pixels.shape[:2]
    inside = content_size(width, height, VIEW)
    across, down = inside[0] / example.width, inside[1] / example.height
    boxes, unclear = ([_moved(box, across, down) for box in some] for some in (example.boxes, example.unclear))
    return View(resize(pixels, VIEW), tuple(boxes), tuple(unclear))


def varied(rng: Random, example: Example, room: tuple[int, int] = (VIEW_SIZE, VIEW_SIZE)) -> View:
    """Another view of it by chance, about as large as the plain one: what does not fit into `room`, width and height,
    is cut off."""
    if room == (VIEW_SIZE, VIEW_SIZE) and rng.random() < UNVARIED:
        return plain(example)
    image = Image.fromarray(_pixels(example.file))
    left, top, right, bottom = _frame(rng, image.width, image.height)
    stretch = math.exp(rng.uniform(-STRETCH, STRETCH))
    scale = VIEW_SIZE / max((right - left) * stretch, bottom - top)
    across, down = scale * stretch, scale
    left, right = _fitting(rng, left, right, room[0] / across, image.width)
    top, bottom = _fitting(rng, top, bottom, room[1] / down, image.height)
    width, height = (max(1, round(size)) for size in ((right - left) * across, (bottom - top) * down))

    # What of the picture is in the view, in its own pixels and in those of the view.
    x1, y1, x2, y2 = max(0.0, left), max(0.0, top), min(image.width, right), min(image.height, bottom)
    u1, v1 = round((x1 - left) * across), round((y1 - top) * down)
    u2, v2 = min(width, round((x2 - left) * across)), min(height, round((y2 - top) * down))
    part = image.resize((max(1, u2 - u1), max(1, v2 - v1)), rng.choice(RESAMPLING), (x1, y1, x2, y2))
    view = Image.new("RGB", (width, height), _corner(image))
    view.paste(part, (u1, v1))
    pixels = np.full((room[1], room[0], 3), PADDING, np.uint8)
    pixels[:height, :width] = np.asarray(_damaged(rng, _recoloured(rng, view)))

    # From the example's pixels, which may be more than those in memory, to those of the view.
    kept_x, kept_y = image.width / example.width, image.height / example.height
    boxes: list[Box] = []
    unclear: list[Box] = []
    for clear, some in ((True, example.boxes), (False, example.unclear)):
        for whole in some:
            there = _moved(whole, kept_x * across, kept_y * down, -left * across, -top * down)
            seen = _clipped(there, width, height)
            if seen is None:
                continue
            (boxes if clear and area(seen) > MOSTLY * area(there) else unclear).append(seen)
    return View(pixels, tuple(boxes), tuple(unclear))


def area(box: Box) -> float:
    """Pixels."""
    return (box.x2 - box.x1) * (box.y2 - box.y1)


def _frame(rng: Random, width: int, height: int) -> tuple[float, float, float, float]:
    """The part of a picture that is looked at, or the picture and some more around it: left, top, right, bottom."""
    if rng.random() < 0.25:
        w, h = width * rng.uniform(*CLOSE), height * rng.uniform(*CLOSE)
        left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
        return left, top, left + w, top + h
    cut = [rng.uniform(*MARGIN) if rng.random() < 0.7 else 0.0 for _ in range(4)]
    return cut[0] * width, cut[1] * height, (1 - cut[2]) * width, (1 - cut[3]) * height


def _fitting(rng: Random, start: float, end: float, longest: float, size: int) -> tuple[float, float]:
    """A piece of what lies between them that is no longer than that, and at least half of it in the picture, which
    reaches from 0 to `size`."""
    if end - start <= longest:
        return start, end
    start += rng.uniform(0, end - start - longest)
    start = min(max(start, -longest / 2), size - longest / 2)
    return start, start + longest


def _corner(image: Image.Image) -> tuple[int, ...]:
    corner = image.getpixel((0, 0))
    assert isinstance(corner, tuple)
    return tuple(map(int, corner))


def _recoloured(rng: Random, image: Image.Image) -> Image.Image:
    if rng.random() < 0.15:
        image = ImageOps.invert(image)
    if rng.random() < 0.25:
        bands = list(image.split())
        rng.shuffle(bands)
        image = Image.merge("RGB", bands)
    if rng.random() < 0.1:
        image = image.convert("L").convert("RGB")
    if rng.random() < 0.5:
        # Every channel darker or paler: v -> gain * (v - 128) + 128 + shift.
        table: list[int] = []
        gain, shift = rng.uniform(0.6, 1.15), rng.uniform(-25, 25)
        for _ in range(3):
            tint = shift + rng.uniform(-12, 12)
            table += [min(255, max(0, round(gain * (value - 128) + 128 + tint))) for value in range(256)]
        image = image.point(table)
    return image


def _damaged(rng: Random, image: Image.Image) -> Image.Image:
    if rng.random() < 0.12:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9)))
    if rng.random() < 0.08:
        noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(3, 14), (image.height, image.width, 1))
        image = Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))
    if rng.random() < 0.12:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=rng.randint(25, 80))
        image = Image.open(file).convert("RGB")
    return image


def _moved(box: Box, across: float, down: float, x: float = 0.0, y: float = 0.0) -> Box:
    return Box(box.label, box.x1 * across + x, box.y1 * down + y, box.x2 * across + x, box.y2 * down + y)


def _clipped(box: Box, width: int, height: int) -> Box | None:
    """What of it lies inside, or None where hardly anything does."""
    inside = replace(
        box,
        x1=max(0.0, box.x1),
        y1=max(0.0, box.y1),
        x2=min(float(width), box.x2),
        y2=min(float(height), box.y2),
    )
    return inside if inside.x2 - inside.x1 > 1 and inside.y2 - inside.y1 > 1 else None
