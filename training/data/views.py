"""Augmentation: views of a labelled picture for the training, moved, stretched, recoloured, damaged, letterboxed."""

import io
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from detectors.catalogue import Input
from detectors.pictures.decode import decode
from detectors.pictures.preprocess import Pixels, content_size, resize
from training.boxes import Box
from training.data.datasets import Example
from training.model.layout import INPUT_SIZE, VIEW_SIZE

INPUT = Input(width=INPUT_SIZE, height=INPUT_SIZE, resize="letterbox", layout="NHWC", dtype="uint8")
"""The model's input. It is the same in the catalogue."""
VIEW_INPUT = Input(width=VIEW_SIZE, height=VIEW_SIZE)
"""The input during the training."""
CACHED_INPUT = Input(width=2 * VIEW_SIZE, height=2 * VIEW_SIZE)
"""Largest size of a picture in the cache. It is larger than a view, so that a part of the picture can be enlarged."""
CACHED_PICTURES = 512
"""Number of decoded pictures in each process's cache. Pictures of a smaller data set are decoded only once."""
UNAUGMENTED_SHARE = 0.2
"""Share of the square views that are not augmented."""
CROP_RANGE = (-0.2, 0.2)
"""Range of the crop at each side, as a share of the picture's width or height. Negative values add a margin."""
MAX_LOG_STRETCH = 0.2
"""Largest absolute logarithm of the factor by which a picture's width is scaled."""
ZOOM_RANGE = (0.45, 0.85)
"""Width and height of the visible part in an enlarged view, as shares of the picture's width and height."""
MIN_VISIBLE_SHARE = 0.6
"""A box becomes an unclear place if at most this share of its area is in the view."""
RESAMPLING = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BOX)


@dataclass(frozen=True)
class View:
    """An input for the network: RGB uint8 [h, w, 3] with the picture at the top left, and the boxes in these pixels."""

    pixels: Pixels
    boxes: tuple[Box, ...]
    unclear: tuple[Box, ...]


@lru_cache(CACHED_PICTURES)
def _pixels(file: Path) -> Pixels:
    return decode(file.read_bytes(), CACHED_INPUT).pixels


def letterbox(example: Example) -> View:
    """The whole picture without augmentation, letterboxed like the detector's input but smaller."""
    pixels = _pixels(example.file)
    height, width = pixels.shape[:2]
    inside = content_size(width, height, VIEW_INPUT)
    across, down = inside[0] / example.width, inside[1] / example.height
    boxes, unclear = ([box.moved(0.0, 0.0, across, down) for box in some] for some in (example.boxes, example.unclear))
    return View(resize(pixels, VIEW_INPUT), tuple(boxes), tuple(unclear))


def augment(rng: Random, example: Example, size: tuple[int, int] = (VIEW_SIZE, VIEW_SIZE)) -> View:
    """A random view at about the scale of `letterbox`. What does not fit into `size` (width, height) is cut off."""
    if size == (VIEW_SIZE, VIEW_SIZE) and rng.random() < UNAUGMENTED_SHARE:
        return letterbox(example)
    image = Image.fromarray(_pixels(example.file))
    left, top, right, bottom = _random_crop(rng, image.width, image.height)
    stretch = math.exp(rng.uniform(-MAX_LOG_STRETCH, MAX_LOG_STRETCH))
    scale = VIEW_SIZE / max((right - left) * stretch, bottom - top)
    across, down = scale * stretch, scale
    left, right = _limit_length(rng, left, right, size[0] / across, image.width)
    top, bottom = _limit_length(rng, top, bottom, size[1] / down, image.height)
    width, height = (max(1, round(side)) for side in ((right - left) * across, (bottom - top) * down))

    # The visible part of the picture: in its own pixels (x, y) and in those of the view (u, v).
    x1, y1, x2, y2 = max(0.0, left), max(0.0, top), min(image.width, right), min(image.height, bottom)
    u1, v1 = round((x1 - left) * across), round((y1 - top) * down)
    u2, v2 = min(width, round((x2 - left) * across)), min(height, round((y2 - top) * down))
    part = image.resize((max(1, u2 - u1), max(1, v2 - v1)), rng.choice(RESAMPLING), (x1, y1, x2, y2))
    view = Image.new("RGB", (width, height), _corner_colour(image))
    view.paste(part, (u1, v1))
    pixels = np.full((size[1], size[0], 3), INPUT.padding, np.uint8)
    pixels[:height, :width] = np.asarray(_degrade(rng, _recolour(rng, view)))

    # The boxes are in pixels of the file. The cached picture may be smaller than the file.
    cached_x, cached_y = image.width / example.width, image.height / example.height
    boxes: list[Box] = []
    unclear: list[Box] = []
    for clear, some in ((True, example.boxes), (False, example.unclear)):
        for box in some:
            moved = box.moved(-left * across, -top * down, cached_x * across, cached_y * down)
            visible = moved.clipped(float(width), float(height))
            if visible.width > 1 and visible.height > 1:
                (boxes if clear and visible.area > MIN_VISIBLE_SHARE * moved.area else unclear).append(visible)
    return View(pixels, tuple(boxes), tuple(unclear))


def _random_crop(rng: Random, width: int, height: int) -> tuple[float, float, float, float]:
    """A random part of a picture: left, top, right, bottom. It may reach beyond the picture."""
    if rng.random() < 0.25:
        w, h = width * rng.uniform(*ZOOM_RANGE), height * rng.uniform(*ZOOM_RANGE)
        left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
        return left, top, left + w, top + h
    cut = [rng.uniform(*CROP_RANGE) if rng.random() < 0.7 else 0.0 for _ in range(4)]
    return cut[0] * width, cut[1] * height, (1 - cut[2]) * width, (1 - cut[3]) * height


def _limit_length(rng: Random, start: float, end: float, longest: float, size: int) -> tuple[float, float]:
    """A random part of start..end, at most `longest` long. If it is shortened, half of it or more lies in 0..size."""
    if end - start <= longest:
        return start, end
    start += rng.uniform(0, end - start - longest)
    start = min(max(start, -longest / 2), size - longest / 2)
    return start, start + longest


def _corner_colour(image: Image.Image) -> tuple[int, ...]:
    corner = image.getpixel((0, 0))
    assert isinstance(corner, tuple)
    return tuple(map(int, corner))


def _recolour(rng: Random, image: Image.Image) -> Image.Image:
    if rng.random() < 0.15:
        image = ImageOps.invert(image)
    if rng.random() < 0.25:
        bands = list(image.split())
        rng.shuffle(bands)
        image = Image.merge("RGB", bands)
    if rng.random() < 0.1:
        image = image.convert("L").convert("RGB")
    if rng.random() < 0.5:
        # Changes contrast and brightness of every channel: v -> gain * (v - 128) + 128 + shift.
        table: list[int] = []
        gain, shift = rng.uniform(0.6, 1.15), rng.uniform(-25, 25)
        for _ in range(3):
            tint = shift + rng.uniform(-12, 12)
            table += [min(255, max(0, round(gain * (value - 128) + 128 + tint))) for value in range(256)]
        image = image.point(table)
    return image


def _degrade(rng: Random, image: Image.Image) -> Image.Image:
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
