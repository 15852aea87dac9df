"""A finished card, damage to its picture as by cameras, scanners and chat programs, and lines as if drawn by hand."""

import io
import math
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageChops, ImageFilter

from training.boxes import Box
from training.cards.rendering.photos import table_top
from training.cards.style import PAGES

MIN_BOX_SIDE = 3.0
"""Pixels. A box that is clipped at the edge is removed if its width or height is smaller than this."""


@dataclass(frozen=True)
class Card:
    """A picture, RGB, and the boxes of its parts inside it."""

    image: Image.Image
    boxes: tuple[Box, ...]


def clip_boxes(card: Card) -> Card:
    """The card with its boxes clipped to the picture. A box is removed if half of it or less is inside."""
    width, height = card.image.size
    kept = []
    for box in card.boxes:
        inside = box.clipped(float(width), float(height))
        if inside.width >= MIN_BOX_SIDE and inside.height >= MIN_BOX_SIDE and inside.area > 0.5 * box.area:
            kept.append(inside)
    return Card(card.image, tuple(kept))


def damaged(rng: Random, card: Card) -> Card:
    """The card with random damage, as by cameras, scanners, chat programs and screenshots."""
    if rng.random() < 0.15:
        card = surrounded(rng, card)
    if rng.random() < 0.06:
        w, h = (round(side * rng.uniform(1.05, 1.35)) for side in card.image.size)
        card = photographed(rng, card, w, h)
    image = fringed(card.image) if rng.random() < 0.1 else card.image
    if rng.random() < 0.25:
        share = rng.uniform(0.6, 0.95)
        small = image.resize([max(8, round(side * share)) for side in image.size], Image.Resampling.BILINEAR)
        image = small.resize(image.size, rng.choice((Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)))
    if rng.random() < 0.2:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9)))
    if rng.random() < 0.25:
        image = as_jpeg(image, rng.randint(25, 90))
    return Card(image, card.boxes)


def surrounded(rng: Random, card: Card) -> Card:
    """The card with strips of the screen at some of its sides, as in a screenshot."""
    width, height = card.image.size
    most = max(3, (width + height) // 45)
    left, top, right, bottom = (rng.choice((0, 2, rng.randint(1, most))) for _ in range(4))
    image = Image.new("RGB", (left + width + right, top + height + bottom), rng.choice(PAGES))
    image.paste(card.image, (left, top))
    return Card(image, tuple(box.moved(left, top) for box in card.boxes))


def fringed(image: Image.Image) -> Image.Image:
    """The picture with coloured edges, as after subpixel rendering: red and blue are shifted by a third of a pixel."""
    red, green, blue = image.split()
    red = Image.blend(red, ImageChops.offset(red, 1, 0), 1 / 3)
    blue = Image.blend(blue, ImageChops.offset(blue, -1, 0), 1 / 3)
    return Image.merge("RGB", (red, green, blue))


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    """The picture after a lossy save, quality 1..95."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def photographed(rng: Random, card: Card, w: int, h: int, degrees: float = 3.0) -> Card:
    """The card in the middle of a table of w x h pixels, turned by at most `degrees`."""
    width, height = card.image.size
    table = table_top(rng, w, h)
    angle = rng.uniform(-degrees, degrees)
    left, top = (w - width) // 2, (h - height) // 2
    layer, mask = Image.new("RGB", (w, h)), Image.new("L", (w, h), 0)
    layer.paste(card.image, (left, top))
    mask.paste(255, (left, top, left + width, top + height))
    turned = layer.rotate(angle, Image.Resampling.BICUBIC)
    table.paste(turned, (0, 0), mask.rotate(angle, Image.Resampling.BILINEAR))
    sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))

    def place(box: Box) -> Box:
        """The smallest box around the turned box. Pillow turns counter-clockwise about the middle."""
        x, y = (box.x1 + box.x2 - width) / 2, (box.y1 + box.y2 - height) / 2
        cx, cy = w / 2 + x * cosine + y * sine, h / 2 - x * sine + y * cosine
        wide, high = box.width / 2, box.height / 2
        half_w, half_h = wide * cosine + high * abs(sine), high * cosine + wide * abs(sine)
        return Box(box.label, cx - half_w, cy - half_h, cx + half_w, cy + half_h)

    return clip_boxes(Card(table, tuple(place(box) for box in card.boxes)))


def wobbly(rng: Random, card: Card, em: int) -> Card:
    """The card with bent lines, as if drawn by hand. They move by less than the margin of a box."""
    width, height = card.image.size
    step, most = 3 * em, 0.11 * em
    columns, lines = math.ceil(width / step), math.ceil(height / step)
    bent = {}
    for column in range(columns + 1):
        for line in range(lines + 1):
            sway = 0.0 if column in (0, columns) or line in (0, lines) else most
            x, y = min(column * step, width), min(line * step, height)
            bent[column, line] = (x + rng.uniform(-sway, sway), y + rng.uniform(-sway, sway))
    mesh = []
    for column in range(columns):
        for line in range(lines):
            right, bottom = min((column + 1) * step, width), min((line + 1) * step, height)
            place = (column * step, line * step, right, bottom)
            corners = ((column, line), (column, line + 1), (column + 1, line + 1), (column + 1, line))
            mesh.append((place, [coordinate for corner in corners for coordinate in bent[corner]]))
    image = card.image.transform(card.image.size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)
    return Card(image, card.boxes)
