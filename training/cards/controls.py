"""The interactive parts of a generated card: fields, buttons, ratings. See `training.cards.parts`."""

import math
from collections.abc import Sequence
from dataclasses import replace

from training.boxes import Box, hull
from training.cards import phrases
from training.cards.rendering.sheet import LINE_HEIGHT, Sheet
from training.cards.style import BLACK, MIN_CONTRAST, WHITE, Colour, contrast, mix

RATING_COLOURS: tuple[Colour, ...] = ((245, 180, 0), (255, 200, 40), (240, 150, 20), (220, 40, 60))
"""Colours of stars and hearts."""


def fields(sheet: Sheet, x: float, y: float, width: float, entries: Sequence[str] | None = None) -> float:
    """Text inputs and drop-down lists "label:content". The label and the content are text boxes."""
    rng, em, style = sheet.rng, sheet.style.em, sheet.style
    filled, bold = rng.random() < 0.35, rng.random() < 0.2
    edge = rng.choice((style.line, mix(style.line, style.text, 0.2), mix(style.line, (230, 90, 60), 0.6)))
    filled_in = 0.0 if entries else 0.3
    entries = entries or rng.sample(phrases.FIELDS, rng.choice((1, 1, 2, 3, 4)))
    beside = width > 20 * em and rng.random() < 0.15
    pair = not beside and len(entries) == 2 and width > 20 * em and rng.random() < 0.3
    share = 0.3 if beside else 0.0
    bottoms = []
    for number, entry in enumerate(entries):
        name, hint = entry.split(":", 1)
        left, top, room = x + width * share, y, width * (1 - share)
        if pair:
            left, room = x + number * width / 2, width / 2 - em
        height = em * rng.choice((1.7, 1.9, 2.2, 2.5, 4.5))
        if beside:
            sheet.text(name, x, y + 0.4 * em, left - x - em, bold=bold, align="right")
        elif pair or rng.random() < 0.8:
            top = sheet.text(name, left, top, room, bold=bold)
        frame = Box("field", left, top, left + room * (1.0 if pair else rng.choice((1.0, 1.0, 0.7))), top + height)
        sheet.frame(frame, style.line if filled else None, style.line if filled else edge)
        if height < 3 * em and rng.random() < 0.3:
            _arrow(sheet, frame)
        if rng.random() < 0.85:
            inside = top + (min(height, 2.4 * em) - LINE_HEIGHT * em) / 2
            start = left + em * rng.uniform(0.4, 0.8)
            space = frame.x2 - start - 1.8 * em
            typed = phrases.beginning(rng) if rng.random() < filled_in else hint
            written = typed if height > 4 * em or sheet.length(typed) < space else hint
            sheet.text(written, start, inside, space, colour=rng.choice((style.subtle, style.text)))
        bottoms.append(frame.y2)
        y = y if pair else frame.y2 + sheet.gap
    return max(bottoms) + sheet.gap


def _arrow(sheet: Sheet, frame: Box) -> None:
    """The arrow of a drop-down list."""
    em, tip, middle = sheet.style.em, frame.x2 - sheet.style.em, (frame.y1 + frame.y2) / 2
    corners = [(tip - em / 3, middle - em / 6), (tip, middle + em / 6), (tip + em / 3, middle - em / 6)]
    if sheet.rng.random() < 0.5:
        sheet.draw.polygon(corners, sheet.style.text)
    else:
        sheet.draw.line(corners, sheet.style.text, max(1, em // 10))


def actions(sheet: Sheet, x: float, y: float, width: float, buttons: Sequence[str] | None = None) -> float:
    """A row of buttons, or a stack over the whole width. All buttons together are the action set.

    Draws nothing directly after another action set, because the two would look like one action set.
    """
    if sheet.boxes and sheet.boxes[-1].label == "actionset":
        return y
    rng, em, style = sheet.rng, sheet.style.em, sheet.style
    stacked, height = rng.random() < (0.55 if style.solid_buttons else 0.4), em * rng.uniform(1.8, 2.9)
    solid = style.solid_buttons
    pale = (style.card, style.card, mix(style.card, style.text, 0.1))
    face = style.accent if solid else rng.choice(pale)
    edge = None if solid else style.line if face != style.card or rng.random() < 0.7 else style.accent
    colour = (BLACK if sum(face) > 420 else WHITE) if solid else rng.choice((style.accent, style.text))
    bold, between = rng.random() < 0.5, em * rng.uniform(0.3, 1.0)
    left, faces = x, []
    for words in buttons or rng.sample(phrases.BUTTONS, rng.choice((1, 1, 2, 2, 2, 3, 3, 4))):
        wide = width if stacked else min(width, sheet.length(words, 1.0, bold) + em * rng.uniform(1.4, 3))
        if left + wide > x + width + 1 and left > x:
            break
        button = Box("actionset", left, y, left + wide, y + height)
        sheet.frame(button, face, edge)
        top = y + (height - LINE_HEIGHT * em) / 2
        sheet.write(words, left, top, wide, bold=bold, colour=colour, align="centre")
        faces.append(button)
        if not solid:
            sheet.boxes.append(replace(button, label="textbox"))
        if stacked:
            y = button.y2 + between
        else:
            left = button.x2 + between
    around = hull("actionset", faces)
    sheet.boxes.append(around)
    return around.y2 + sheet.gap


def rating(sheet: Sheet, x: float, y: float, width: float, full: int | None = None) -> float:
    """Three to six stars or hearts, or dots close together, some of them filled."""
    rng, style = sheet.rng, sheet.style
    full, count = rng.randint(0, 5) if full is None else full, rng.choice((5, 5, 5, 5, 3, 4, 6)) if full is None else 5
    size = min(style.em * rng.uniform(1.0, 2.4), width / count / 1.1)
    draw_one = rng.choices((_star, _heart, _dot), (6, 1.5, 1.5))[0]
    pitch = min(size * rng.uniform(1.0, 1.2 if draw_one is _dot else 1.5), width / count)
    golds = [gold for gold in (*RATING_COLOURS, style.accent) if contrast(gold, style.card) > MIN_CONTRAST]
    gold = rng.choice([*golds, style.text])
    hollow, tiled = rng.random() < 0.5, draw_one is _star and rng.random() < 0.12
    pale = mix(style.card, style.text, 0.2)
    for number in range(count):
        box = Box("rating", x + number * pitch, y, x + number * pitch + size, y + size)
        fill = gold if number < full else None if hollow else pale
        if tiled:
            sheet.frame(box.grown(-0.02 * size), fill or pale)
            draw_one(sheet, box.grown(-0.12 * size), WHITE, WHITE)
        else:
            draw_one(sheet, box, fill, gold if hollow else fill)
    sheet.boxes.append(Box("rating", x, y, x + (count - 1) * pitch + size, y + size))
    return y + size + sheet.gap


def _star(sheet: Sheet, box: Box, fill: Colour | None, outline: Colour | None) -> None:
    cx, cy, radius = (box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2, box.width / 2
    points = [_on_circle(cx, cy, radius * (1.0, 0.42)[corner % 2], corner) for corner in range(10)]
    sheet.draw.polygon(points, fill, outline, max(1, round(box.width / 12)))


def _heart(sheet: Sheet, box: Box, fill: Colour | None, outline: Colour | None) -> None:
    size = box.width
    turns = [2 * math.pi * step / 24 for step in range(24)]
    points = [
        (
            box.x1 + size * (0.5 + 0.47 * math.sin(turn) ** 3),
            box.y1 + size * (0.44 - 0.38 * math.cos(turn) + 0.15 * math.cos(2 * turn) + 0.06 * math.cos(3 * turn)),
        )
        for turn in turns
    ]
    sheet.draw.polygon(points, fill, outline, max(1, round(box.width / 12)))


def _dot(sheet: Sheet, box: Box, fill: Colour | None, outline: Colour | None) -> None:
    sheet.draw.ellipse((box.x1, box.y1, box.x2, box.y2), fill, outline, max(1, round(box.width / 12)))


def _on_circle(x: float, y: float, radius: float, tenth: int) -> tuple[float, float]:
    """The point on a circle, `tenth` tenths of a turn clockwise from the top."""
    turned = radius * 1j * complex(0.8090169943749475, 0.5877852522924731) ** -tenth
    return x + turned.real, y - turned.imag
