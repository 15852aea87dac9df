"""Generates UI cards with the exact boxes of their parts. The same seed gives the same card."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from random import Random

from PIL import Image, ImageDraw, ImageFilter

from training.boxes import Box
from training.cards import controls, parts, rows
from training.cards.choices import choices
from training.cards.rendering.damage import Card, clip_boxes, damaged, wobbly
from training.cards.rendering.icons import icon
from training.cards.rendering.photos import gradient, paper, photo
from training.cards.rendering.sheet import MAX_HEIGHT, Sheet
from training.cards.style import Style, choose_style, mix

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
MAX_FILLED = 0.55
"""No part is added after this share of the intended height is used, because the last part is often long."""
QUESTION_SHARE = 0.4
"""Share of the cards that get a question for certain. Others get one by chance: about 60 % of all cards have one."""
MAX_HEIGHT_EMS = 55
"""Largest height of a card in ems. The text of a higher card would be too small in the network's input, so another card
is drawn instead."""
MAX_WIDTH = 800
"""Largest width of a card in pixels."""


def draw_card(seed: int, theme: str | None = None, *, damage: bool = True) -> Card:
    """Draws the card of this seed, 150..800 pixels wide. `theme` is light, dark or tinted; by default it is random.

    With `damage`, some cards are a little blurred, compressed as JPEG or photographed at a slight angle.
    """
    rng = Random(seed)
    style = choose_style(rng, theme)
    aspect = min(4.0, max(0.36, rng.lognormvariate(0.3, 0.45)))
    ems = rng.choice((rng.uniform(18, 32), rng.uniform(24, 38), rng.uniform(28, 48)))
    wide, high = max(13.0, ems * min(1.0, aspect)), ems / max(1.0, aspect)
    em = max(9, min(style.em, int(min(MAX_WIDTH / wide, MAX_HEIGHT / high))))
    style = replace(style, em=em)

    def content(sheet: Sheet, x: float, y: float, room: float) -> float:
        if rng.random() < 0.15:
            y = rows.app_bar(sheet, x, y, room)
        elif rng.random() < 0.15:
            icon(sheet, Box("icon", x + room - em, y, x + room, y + em), style.text)
            y = parts.heading(sheet, x, y, room - 2 * em)
        asks = rng.randint(1, 2) if rng.random() < QUESTION_SHARE else 0
        before = rng.choice((0, 1, 1, rng.randint(1, 3)))
        longest = MAX_FILLED * high * em * (0.5 if asks else 1.0)
        y = _stack(sheet, x, y, room, longest, before if asks else before + 3, 0)
        for _ in range(asks):
            y = choices(sheet, x, y, room)
        y = _stack(sheet, x, y, room, MAX_FILLED * high * em, rng.choice((0, 0, 1, 2, 4)), 0)
        return controls.actions(sheet, x, y, room) if rng.random() < 0.5 else y

    card = compose(rng, style, round(em * wide), content, backdrop=rng.random() < 0.06)
    if max(card.image.size) > MAX_HEIGHT_EMS * em:
        return draw_card(rng.getrandbits(40), theme, damage=damage)
    return damaged(rng, card) if damage else card


def compose(rng: Random, style: Style, width: int, content: Part, *, backdrop: bool = False) -> Card:
    """Draws a card `width` pixels wide and as high as its content. `backdrop` puts a pale photo behind the content."""
    height = round(2 * MAX_HEIGHT * max(1.0, width / 800))
    sheet = Sheet(Image.new("RGB", (width, height), style.page), rng, style)
    border = style.em * rng.choice((0.0, 0.5, 1.0)) if style.page != style.card else 0.0
    padding = style.em * rng.choice((rng.uniform(0.4, 1.0), rng.uniform(0.6, 1.6)))
    if backdrop:
        far = photo(rng, width // 4, width // 4).filter(ImageFilter.GaussianBlur(6))
        veil = Image.new("RGB", far.size, style.card)
        sheet.image.paste(Image.blend(far, veil, rng.uniform(0.55, 0.85)).resize(sheet.image.size))
    elif style.hand_drawn:
        sheet.image.paste(paper(rng, style.card, width, height))
    elif rng.random() < 0.05:
        sheet.image.paste(gradient(style.card, mix(style.card, style.accent, rng.uniform(0.1, 0.35)), width, height))
    else:
        edge = style.line if border and rng.random() < 0.5 else None
        sheet.frame(Box("card", border, border, width - border - 1, height + 50), style.card, edge)
    end = content(sheet, border + padding, border + padding, width - 2 * border - 2 * padding)
    bottom = min(height, round(end + padding + border))
    picture = sheet.image.crop((0, 0, width, bottom))
    if border:
        outside = Image.new("L", picture.size, 255)
        corners = (border, border, width - border - 1, bottom - border - 1)
        ImageDraw.Draw(outside).rounded_rectangle(corners, style.radius, 0)
        picture.paste(style.page, mask=outside)
    card = clip_boxes(Card(picture, tuple(sheet.boxes)))
    return wobbly(rng, card, style.em) if style.hand_drawn else card


def _stack(sheet: Sheet, x: float, y: float, width: float, longest: float, count: int, depth: int) -> float:
    """Draws at most `count` parts below each other, until y exceeds `longest`. Some are in columns or above a line."""
    rng, style = sheet.rng, sheet.style
    for _ in range(count):
        if y > longest:
            break
        if depth < 2 and width > 16 * style.em and rng.random() < 0.2:
            y = _columns(sheet, x, y, width, longest, depth)
        else:
            part = rng.choices([part for part, _ in PARTS], [weight for _, weight in PARTS])[0]
            y = part(sheet, x, y, width)
        if rng.random() < 0.15:
            sheet.draw.line((x, y, x + width, y), style.line)
            y += sheet.gap
    return y


def _columns(sheet: Sheet, x: float, y: float, width: float, longest: float, depth: int) -> float:
    """Draws two to five columns: of statistics, of pictures with captions, or of other parts."""
    rng, em = sheet.rng, sheet.style.em
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
            sheet.frame(Box("frame", left + 1, y, right - em * 0.3, max(bottoms)), None, sheet.style.line)
        return max(bottoms) + sheet.gap
    return max(bottoms)
