"""The parts of a generated card that are there to be used. Like `training.parts`, of which this is the other half."""

from __future__ import annotations

from collections.abc import Sequence

from training import phrases
from training.looks import Colour, mix
from training.sheet import LINE, Box, Sheet, hull


def fields(sheet: Sheet, x: float, y: float, width: float, entries: Sequence[str] | None = None) -> float:
    """Text inputs and drop-down lists "label:content"; what stands in them is a text box of its own."""
    rng, em, look = sheet.rng, sheet.look.em, sheet.look
    filled = rng.random() < 0.3
    for entry in entries or rng.sample(phrases.FIELDS, rng.randint(1, 3)):
        name, hint = entry.split(":", 1)
        if rng.random() < 0.85:
            y = sheet.text(name, x, y, width, bold=rng.random() < 0.2)
        height = em * rng.choice((1.8, 2.0, 2.4, 4.0))
        frame = Box("field", x, y, x + width * rng.choice((1.0, 1.0, 0.7)), y + height)
        sheet.frame(frame, look.line if filled else None, look.line if filled else mix(look.line, look.text, 0.2))
        down = height < 3 * em and rng.random() < 0.25
        if down:
            tip, middle = frame.x2 - em, y + height / 2
            arrow = [(tip - em / 3, middle), (tip, middle + em / 3), (tip + em / 3, middle)]
            if rng.random() < 0.5:
                sheet.draw.polygon(arrow, look.text)
            else:
                sheet.draw.line(arrow, look.text, max(1, em // 10))
        if rng.random() < 0.85:
            top = y + (min(height, 2.4 * em) - LINE * em) / 2
            colour = rng.choice((look.subtle, look.text))
            sheet.text(hint, x + 0.6 * em, top, frame.x2 - x - 2.2 * em, colour=colour)
        y = frame.y2 + sheet.gap
    return y


def choices(
    sheet: Sheet,
    x: float,
    y: float,
    width: float,
    label: str | None = None,
    question: str | None = None,
    answers: Sequence[str] | None = None,
) -> float:
    """A question and radio buttons or check boxes below it, in a column or in a row."""
    rng, em, look = sheet.rng, sheet.look.em, sheet.look
    if question or rng.random() < 0.7:
        y = sheet.text(question or rng.choice(phrases.HEADINGS), x, y, width, bold=rng.random() < 0.4)
    label = label or rng.choice(("radiobutton", "checkbox"))
    size = em * rng.uniform(0.8, 1.3)
    pitch = em * rng.uniform(1.45, 2.4)
    style = rng.choice((look.text, look.subtle, look.accent))
    in_row = not answers and rng.random() < 0.25
    picked = rng.randrange(6) if label == "radiobutton" else None
    left = x
    for number, answer in enumerate(answers or rng.sample(phrases.CHOICES, rng.randint(2, 6))):
        words = answer.split()[0] if in_row else answer
        chosen = number == picked or (picked is None and rng.random() < 0.4)
        top = y + (LINE * em - size) / 2
        _control(sheet, label, Box(label, left, top, left + size, top + size), chosen, style)
        extent = sheet.ink(words, left + size + 0.5 * em, y, width - size)
        found = hull(label, [extent, Box(label, left, top, left + size, top + size)])
        if found.x2 > x + width and in_row and left > x:
            sheet.draw.rectangle((left - 1, top - 2, found.x2 + 2, found.y2 + 2), fill=look.card)
            break
        sheet.mark(found)
        if in_row:
            left = found.x2 + em * rng.uniform(0.8, 2.0)
        else:
            y = max(y + pitch, found.y2 + 0.2 * em)
    return y + sheet.gap + (pitch if in_row else 0)


def _control(sheet: Sheet, label: str, box: Box, chosen: bool, colour: Colour) -> None:
    """The circle or square itself, in one of the usual ways."""
    draw, look, size = sheet.draw, sheet.look, box.x2 - box.x1
    thick = max(1, round(size / 10))
    corners = (box.x1, box.y1, box.x2, box.y2)
    blank = sheet.rng.choice((look.card, (255, 255, 255)))
    if label == "radiobutton":
        draw.ellipse(corners, blank, colour, thick)
        if chosen:
            inset = size * 0.28
            draw.ellipse((box.x1 + inset, box.y1 + inset, box.x2 - inset, box.y2 - inset), colour)
        return
    solid = chosen and sheet.rng.random() < 0.5
    draw.rounded_rectangle(
        corners, look.radius and size / 6, look.accent if solid else blank, look.accent if solid else colour, thick
    )
    if chosen:
        tick = [(box.x1 + size * u, box.y1 + size * v) for u, v in ((0.2, 0.5), (0.42, 0.75), (0.82, 0.22))]
        draw.line(
            tick,
            (255, 255, 255) if solid else (0, 0, 0) if blank == (255, 255, 255) else colour,
            max(1, round(size / 7)),
        )


def actions(sheet: Sheet, x: float, y: float, width: float, buttons: Sequence[str] | None = None) -> float:
    """Buttons: a row of them, or a stack over the whole width. All together are the action set."""
    rng, em, look = sheet.rng, sheet.look.em, sheet.look
    stacked, height = rng.random() < 0.3, em * rng.uniform(1.7, 2.8)
    solid = look.solid_buttons
    face = look.accent if solid else rng.choice((look.card, look.card, mix(look.card, look.text, 0.1)))
    edge = None if solid else rng.choice((look.line, look.accent))
    colour = ((0, 0, 0) if sum(face) > 400 else (255, 255, 255)) if solid else rng.choice((look.accent, look.text))
    bold = rng.random() < 0.5
    left, faces = x, []
    for words in buttons or rng.sample(phrases.BUTTONS, rng.choice((1, 1, 2, 2, 3, 4))):
        wide = width if stacked else len(words) * em * 0.6 + em * rng.uniform(1.5, 3)
        if left + wide > x + width + 1 and left > x:
            break
        button = Box("actionset", left, y, left + min(wide, width), y + height)
        sheet.frame(button, face, edge)
        sheet.ink(
            words,
            button.x1,
            y + (height - LINE * em) / 2,
            button.x2 - button.x1,
            bold=bold,
            colour=colour,
            align="centre",
        )
        faces.append(button)
        if not solid:
            sheet.mark(Box("textbox", button.x1, button.y1, button.x2, button.y2))
        if stacked:
            y = button.y2 + em * 0.5
        else:
            left = button.x2 + em * rng.uniform(0.4, 1.0)
    around = hull("actionset", faces)
    sheet.mark(around)
    return around.y2 + sheet.gap


def rating(sheet: Sheet, x: float, y: float, width: float, full: int | None = None) -> float:
    """Five stars, or dots, some of them filled."""
    rng, look = sheet.rng, sheet.look
    full, count = rng.randint(0, 5) if full is None else full, rng.choice((5, 5, 5, 4, 6)) if full is None else 5
    size = min(look.em * rng.uniform(0.9, 2.4), width / count / 1.1)
    pitch = min(size * rng.uniform(1.05, 1.5), width / count)
    gold = rng.choice(((245, 180, 0), (255, 200, 40), look.accent, look.text))
    hollow, star = rng.random() < 0.5, rng.random() < 0.85
    for number in range(count):
        cx, cy = x + number * pitch + size / 2, y + size / 2
        fill = gold if number < full else None if hollow else look.line
        outline = gold if hollow else fill
        if star:
            points = [_on_circle(cx, cy, size / 2 * (1.0, 0.42)[corner % 2], corner) for corner in range(10)]
            sheet.draw.polygon(points, fill, outline)
        else:
            sheet.draw.ellipse((cx - size / 2.2, cy - size / 2.2, cx + size / 2.2, cy + size / 2.2), fill, outline)
    sheet.mark(Box("rating", x, y, x + (count - 1) * pitch + size, y + size))
    return y + size + sheet.gap


def _on_circle(x: float, y: float, radius: float, tenth: int) -> tuple[float, float]:
    """The point so many tenths of a turn clockwise from the top."""
    turned = radius * 1j * complex(0.8090169943749475, 0.5877852522924731) ** -tenth
    return x + turned.real, y - turned.imag
