"""An endless supply of UI cards with the exact boxes of their parts. The same seed gives the same card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from random import Random

from PIL import Image, ImageDraw, ImageFilter

from training.cards import controls, parts, rows
from training.cards.choices import choices
from training.cards.looks import Look, choose_look, mix
from training.cards.rendering.damage import Card, cut, damaged, wobbly
from training.cards.rendering.icons import icon
from training.cards.rendering.photos import gradient, paper, photo
from training.cards.rendering.sheet import LONGEST_SHEET, Box, Sheet

Part = Callable[[Sheet, float, float, float], float]

PARTS: tuple[tuple[Part, float], ...] = (
    (parts.heading, 1.5),
    (parts.body, 2.5),
    (parts.facts, 2),
    (controls.fields, 1.5),
    (choices, 2),
    (controls.actions, 1),
    (parts.picture, 1),
    (parts.person, 1),
    (controls.rating, 3),
    *rows.ROWS,
)
FULL = 0.55
"""A card gets no more parts when so much of its intended height is used, as the last one is often long."""
ASKING = 0.4
"""Share of the cards that are sure to have radio buttons or check boxes; about as many as these and half again have."""
READABLE = 55
"""Ems: on a card that is longer, the type would be too small to be read when the network sees it."""
MOST_WIDE = 800
"""Pixels: the width of a card."""


def draw_card(seed: int, theme: str | None = None, *, damage: bool = True) -> Card:
    """The card with this number: 150..800 pixels wide. `theme` is light, dark or tinted, or chosen by the seed.

    With `damage`, some cards are a little blurred, compressed as JPEG or photographed at a slight angle.
    """
    rng = Random(seed)
    look = choose_look(rng, theme)
    aspect = min(4.0, max(0.36, rng.lognormvariate(0.3, 0.45)))
    ems = rng.choice((rng.uniform(18, 32), rng.uniform(24, 38), rng.uniform(28, 48)))
    wide, high = max(13.0, ems * min(1.0, aspect)), ems / max(1.0, aspect)
    em = max(9, min(look.em, int(min(MOST_WIDE / wide, LONGEST_SHEET / high))))
    look = replace(look, em=em)

    def content(sheet: Sheet, x: float, y: float, room: float) -> float:
        if rng.random() < 0.15:
            y = rows.app_bar(sheet, x, y, room)
        elif rng.random() < 0.15:
            icon(sheet, Box("icon", x + room - em, y, x + room, y + em), look.text)
            y = parts.heading(sheet, x, y, room - 2 * em)
        asks = rng.randint(1, 2) if rng.random() < ASKING else 0
        before = rng.choice((0, 1, 1, rng.randint(1, 3)))
        y = _stack(sheet, x, y, room, FULL * high * em * (0.5 if asks else 1.0), before if asks else before + 3, 0)
        for _ in range(asks):
            y = choices(sheet, x, y, room)
        y = _stack(sheet, x, y, room, FULL * high * em, rng.choice((0, 0, 1, 2, 4)), 0)
        return controls.actions(sheet, x, y, room) if rng.random() < 0.5 else y

    card = compose(rng, look, round(em * wide), content, backdrop=rng.random() < 0.06)
    if max(card.image.size) > READABLE * em:
        return draw_card(rng.getrandbits(40), theme, damage=damage)
    return damaged(rng, card) if damage else card


def compose(rng: Random, look: Look, width: int, content: Part, *, backdrop: bool = False) -> Card:
    """A card `width` pixels wide with this content and as high as it needs; `backdrop` lays a pale photo below it."""
    height = round(2 * LONGEST_SHEET * max(1.0, width / 800))
    sheet = Sheet(Image.new("RGB", (width, height), look.page), rng, look)
    border = look.em * rng.choice((0.0, 0.5, 1.0)) if look.page != look.card else 0.0
    padding = look.em * rng.choice((rng.uniform(0.4, 1.0), rng.uniform(0.6, 1.6)))
    if backdrop:
        far = photo(rng, width // 4, width // 4).filter(ImageFilter.GaussianBlur(6))
        veil = Image.new("RGB", far.size, look.card)
        sheet.image.paste(Image.blend(far, veil, rng.uniform(0.55, 0.85)).resize(sheet.image.size))
    elif look.hand:
        sheet.image.paste(paper(rng, look.card, width, height))
    elif rng.random() < 0.05:
        sheet.image.paste(gradient(look.card, mix(look.card, look.accent, rng.uniform(0.1, 0.35)), width, height))
    else:
        edge = look.line if border and rng.random() < 0.5 else None
        sheet.frame(Box("card", border, border, width - border - 1, height + 50), look.card, edge)
    end = content(sheet, border + padding, border + padding, width - 2 * border - 2 * padding)
    bottom = min(height, round(end + padding + border))
    picture = sheet.image.crop((0, 0, width, bottom))
    if border:
        outside = Image.new("L", picture.size, 255)
        corners = (border, border, width - border - 1, bottom - border - 1)
        ImageDraw.Draw(outside).rounded_rectangle(corners, look.radius, 0)
        picture.paste(look.page, mask=outside)
    card = cut(Card(picture, tuple(sheet.boxes)))
    return wobbly(rng, card, look.em) if look.hand else card


def _stack(sheet: Sheet, x: float, y: float, width: float, longest: float, count: int, depth: int) -> float:
    """So many parts below each other, until y is past `longest`; some divided into columns, a line between some."""
    rng, look = sheet.rng, sheet.look
    for _ in range(count):
        if y > longest:
            break
        if depth < 2 and width > 16 * look.em and rng.random() < 0.2:
            y = _columns(sheet, x, y, width, longest, depth)
        else:
            part = rng.choices([part for part, _ in PARTS], [weight for _, weight in PARTS])[0]
            y = part(sheet, x, y, width)
        if rng.random() < 0.15:
            sheet.draw.line((x, y, x + width, y), look.line)
            y += sheet.gap
    return y


def _columns(sheet: Sheet, x: float, y: float, width: float, longest: float, depth: int) -> float:
    """Two to five columns: of statistics, of pictures with captions, or of other parts."""
    rng, em = sheet.rng, sheet.look.em
    kind = rng.choice(("statistics", "pictures", "parts", "parts") if width > 20 * em else ("statistics", "pictures"))
    most = max(2, min(5, int(width / (7 * em))))
    count = 2 if kind == "parts" else rng.randint(2, most)
    share = rng.choice((0.4, 0.5, 0.6)) if kind == "parts" else 1 / count
    edges = [x, x + width * share, x + width] if count == 2 else [x + width * n / count for n in range(count + 1)]
    framed = kind == "statistics" and rng.random() < 0.3
    align, size = rng.choice(("left", "left", "centre")), rng.uniform(1.2, 2.6)
    bottoms = []
    for left, right in pairwise(edges):
        start, room = left + em * 0.4, right - left - em * 0.8
        if kind == "pictures":
            bottom = parts.statistic(sheet, start, parts.picture(sheet, start, y, room), room, align=align, size=size)
        elif kind == "statistics":
            bottom = parts.statistic(sheet, start, y + (em * 0.6 if framed else 0), room, align=align, size=size)
        else:
            bottom = _stack(sheet, start, y, room, longest, rng.randint(1, 3), depth + 1)
        bottoms.append(bottom)
    if framed:
        for left, right in pairwise(edges):
            sheet.frame(Box("frame", left + 1, y, right - em * 0.3, max(bottoms)), None, sheet.look.line)
        return max(bottoms) + sheet.gap
    return max(bottoms)
