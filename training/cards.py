"""An endless supply of UI cards with the exact boxes of their parts. The same seed gives the same card."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random

from PIL import Image, ImageFilter

from training import controls, parts
from training.looks import Look, choose_look, photo, table_top
from training.sheet import LONGEST_SHEET, Box, Sheet

Part = Callable[[Sheet, float, float, float], float]

PARTS: tuple[tuple[Part, float], ...] = (
    (parts.heading, 2),
    (parts.body, 3),
    (parts.facts, 2),
    (controls.fields, 2),
    (controls.choices, 3.5),
    (controls.actions, 1),
    (parts.picture, 0.7),
    (parts.person, 1.5),
    (controls.rating, 1.2),
)
SMALLEST_BOX = 3.0
"""Pixels: what is left of a box at the edge of the sheet counts only if it is at least this wide and high."""


@dataclass(frozen=True)
class Card:
    """A picture, RGB, and the boxes of its parts inside it."""

    image: Image.Image
    boxes: tuple[Box, ...]


def draw_card(seed: int, theme: str | None = None, *, damage: bool = True) -> Card:
    """The card with this number: 180..800 pixels wide. `theme` is light, dark or tinted, or chosen by the seed.

    With `damage`, some cards are a little blurred, compressed as JPEG or photographed at a slight angle.
    """
    rng = Random(seed)
    look = choose_look(rng, theme)
    width = round(look.em * rng.uniform(18, 40))
    longest = min(LONGEST_SHEET, width * rng.uniform(0.5, 2.2))

    def content(sheet: Sheet, x: float, y: float, room: float) -> float:
        if rng.random() < 0.15:
            _menu(sheet, x + room, y)
        y = _stack(sheet, x, y, room, longest, rng.randint(1, 8), 0)
        return controls.actions(sheet, x, y, room) if rng.random() < 0.55 else y

    card = compose(rng, look, width, content, backdrop=rng.random() < 0.06)
    return _damaged(rng, card) if damage else card


def compose(rng: Random, look: Look, width: int, content: Part, *, backdrop: bool = False) -> Card:
    """A card `width` pixels wide with this content and as high as it needs; `backdrop` lays a pale photo below it."""
    height = round(LONGEST_SHEET * max(1.0, width / 800))
    sheet = Sheet(Image.new("RGB", (width, height), look.page), rng, look)
    border = look.em * rng.choice((0.0, 0.5, 1.0)) if look.page != look.card else 0.0
    padding = look.em * rng.uniform(0.6, 1.6)
    if backdrop:
        far = photo(rng, width // 4, height // 4).filter(ImageFilter.GaussianBlur(6))
        veil = Image.new("RGB", far.size, look.card)
        sheet.image.paste(Image.blend(far, veil, rng.uniform(0.5, 0.8)).resize(sheet.image.size))
    else:
        sheet.frame(Box("card", border, border, width - border - 1, height + 50), look.card)
    end = content(sheet, border + padding, border + padding, width - 2 * border - 2 * padding)
    bottom = min(height, round(end + padding + border))
    if border and bottom < height:
        sheet.draw.rectangle((0, bottom - border, width, bottom), look.page)
    return _cut(Card(sheet.image.crop((0, 0, width, bottom)), tuple(sheet.boxes)))


def _menu(sheet: Sheet, right: float, y: float) -> None:
    """Three dots in the corner: not a part of the card's content, so without a box."""
    dot = max(1.0, sheet.look.em / 9)
    for number in range(3):
        middle = y + (number + 0.5) * 4 * dot
        sheet.draw.ellipse((right - dot, middle - dot, right + dot, middle + dot), sheet.look.text)


def _stack(sheet: Sheet, x: float, y: float, width: float, longest: float, count: int, depth: int) -> float:
    """So many parts below each other, until y is past `longest`; some divided into columns, a line between some."""
    rng, look = sheet.rng, sheet.look
    for _ in range(count):
        if depth < 2 and width > 16 * look.em and rng.random() < 0.28:
            y = _columns(sheet, x, y, width, longest, depth)
        else:
            part = rng.choices([part for part, _ in PARTS], [weight for _, weight in PARTS])[0]
            y = part(sheet, x, y, width)
        if rng.random() < 0.15:
            sheet.draw.line((x, y, x + width, y), look.line)
            y += sheet.gap
        if y > longest:
            break
    return y


def _columns(sheet: Sheet, x: float, y: float, width: float, longest: float, depth: int) -> float:
    """Two to five columns: of statistics, of pictures with captions, or of other parts."""
    rng, em = sheet.rng, sheet.look.em
    kind = rng.choice(("statistics", "pictures", "parts", "parts") if width > 20 * em else ("statistics", "pictures"))
    most = max(2, min(5, int(width / (7 * em))))
    count = 2 if kind == "parts" else rng.randint(2, most)
    share = rng.choice((0.4, 0.5, 0.6)) if count == 2 else 1 / count
    edges = [x, x + width * share, x + width] if count == 2 else [x + width * n / count for n in range(count + 1)]
    framed = kind == "statistics" and rng.random() < 0.3
    bottoms = []
    for left, right in pairwise(edges):
        start, room = left + em * 0.4, right - left - em * 0.8
        if kind == "pictures":
            bottom = parts.statistic(sheet, start, parts.picture(sheet, start, y, room), room)
        elif kind == "statistics":
            bottom = parts.statistic(sheet, start, y + (em * 0.6 if framed else 0), room)
        else:
            bottom = _stack(sheet, start, y, room, longest, rng.randint(1, 3), depth + 1)
        bottoms.append(bottom)
    if framed:
        for left, right in pairwise(edges):
            sheet.frame(Box("frame", left + 1, y, right - em * 0.3, max(bottoms)), None, sheet.look.line)
        return max(bottoms) + sheet.gap
    return max(bottoms)


def _cut(card: Card) -> Card:
    """Boxes clipped to the picture; those of which almost nothing is left are gone."""
    width, height = card.image.size
    kept = []
    for box in card.boxes:
        inside = replace(
            box, x1=max(0.0, box.x1), y1=max(0.0, box.y1), x2=min(float(width), box.x2), y2=min(float(height), box.y2)
        )
        whole = (box.x2 - box.x1) * (box.y2 - box.y1)
        wide, high = inside.x2 - inside.x1, inside.y2 - inside.y1
        if wide >= SMALLEST_BOX and high >= SMALLEST_BOX and wide * high > 0.5 * whole:
            kept.append(inside)
    return Card(card.image, tuple(kept))


def _damaged(rng: Random, card: Card) -> Card:
    """What cameras, scanners and chat programs do to pictures."""
    if rng.random() < 0.08:
        w, h = (round(side * rng.uniform(1.1, 1.6)) for side in card.image.size)
        card = photographed(rng, card, w, h)
    image = card.image
    if rng.random() < 0.25:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.1)))
    if rng.random() < 0.25:
        image = as_jpeg(image, rng.randint(25, 90))
    return Card(image, card.boxes)


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    """The picture after a lossy save, quality 1..95."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def photographed(rng: Random, card: Card, w: int, h: int, degrees: float = 3.0) -> Card:
    """The card in the middle of a table of w x h pixels, turned by up to so many degrees."""
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
        """Pillow turns counter-clockwise about the middle; the corners of the turned box keep its size."""
        x, y = (box.x1 + box.x2 - width) / 2, (box.y1 + box.y2 - height) / 2
        cx, cy = w / 2 + x * cosine + y * sine, h / 2 - x * sine + y * cosine
        wide = (box.x2 - box.x1) / 2
        high = (box.y2 - box.y1) / 2
        half_w, half_h = wide * cosine + high * abs(sine), high * cosine + wide * abs(sine)
        return Box(box.label, cx - half_w, cy - half_h, cx + half_w, cy + half_h)

    return _cut(Card(table, tuple(place(box) for box in card.boxes)))
