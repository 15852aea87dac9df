"""The parts that a generated card is made of.

Every function draws one part at (x, y), at most `width` wide, adds its boxes to the sheet and returns the y below it.
Its words are random unless they are passed as arguments.
The labels mean the same as in pic2card: a text box is any block of text, and also a whole button with a pale face;
a radio button or check box includes the words beside it; text inside a picture or on a solid button has no box.
"""

from collections.abc import Sequence
from random import Random

from training.boxes import Box, hull
from training.cards import phrases
from training.cards.rendering.photos import paste_photo
from training.cards.rendering.sheet import LEFT_SHARE, Sheet


def heading(
    sheet: Sheet, x: float, y: float, width: float, title: str | None = None, subtitle: str | None = None
) -> float:
    """A title, sometimes with a subtitle."""
    rng = sheet.rng
    if title is None:
        title = rng.choice(phrases.HEADINGS)
        title = title.upper() if rng.random() < 0.2 else title
        subtitle = phrases.date(rng) if rng.random() < 0.4 else None
    align = rng.choice(("left", "left", "left", "centre"))
    colour = rng.choice((sheet.style.text, sheet.style.text, sheet.style.accent))
    size, bold = rng.uniform(1.1, 1.9), rng.random() < 0.7
    y = sheet.text(title, x, y, width, size=size, bold=bold, align=align, colour=colour, close=True)
    if subtitle:
        y = sheet.text(subtitle, x, y, width, size=0.9, colour=sheet.style.subtle, align=align)
    return y + sheet.gap * 0.5


def body(sheet: Sheet, x: float, y: float, width: float, blocks: Sequence[str] | None = None) -> float:
    """One to four blocks of running text."""
    rng, align = sheet.rng, "left"
    if not blocks and rng.random() < 0.4:
        # A narrow column: here a model most often mistakes one block of lines for several blocks.
        narrow = min(width, sheet.style.em * rng.uniform(6, 16))
        align = rng.choice(("left", "left", "centre", "right"))
        x += (width - narrow) * LEFT_SHARE[align]
        width = narrow
    for words in blocks or [_some_text(rng) for _ in range(rng.choice((1, 1, 2, 2, 3, 4)))]:
        colour = rng.choice((sheet.style.text, sheet.style.text, sheet.style.subtle, sheet.style.accent))
        size, bold = rng.uniform(0.85, 1.1), rng.random() < 0.15
        y = sheet.text(words, x, y, width, size=size, bold=bold, colour=colour, align=align)
    return y + sheet.gap * 0.5


def _some_text(rng: Random) -> str:
    paragraph = " ".join(rng.sample(phrases.SENTENCES, rng.randint(1, 3)))
    return rng.choice((paragraph, phrases.beginning(rng), phrases.date(rng), rng.choice(phrases.NAMES)))


def facts(sheet: Sheet, x: float, y: float, width: float, rows: Sequence[str] | None = None) -> float:
    """Rows of "name:value": two boxes, or one if both are close together."""
    rng = sheet.rng
    close = rng.random() < 0.5
    column = min(max(width * rng.uniform(0.3, 0.6), 7 * sheet.style.em), 0.6 * width)
    right = not close and rng.random() < 0.3
    colon = rng.choice(("", ":"))
    for fact in rows or rng.sample(phrases.FACTS, rng.randint(2, 7)):
        name, value = fact.split(":", 1)
        left = sheet.write(name + colon, x, y, column - 0.5 * sheet.style.em, bold=not right)
        if close:
            start = max(left.x2 + 0.5 * sheet.style.em, x + 5.5 * sheet.style.em)
            other = sheet.write(value, start, y, x + width - start)
            sheet.add_box(hull("textbox", [left, other]))
        else:
            other = sheet.write(value, x + column, y, width - column, align="right" if right else "left")
            sheet.add_box(left)
            sheet.add_box(other)
        y = max(left.y2, other.y2) + sheet.style.em * 0.35 * sheet.style.spacing
    return y + sheet.gap * 0.5


def statistic(
    sheet: Sheet,
    x: float,
    y: float,
    width: float,
    figure: str | None = None,
    caption: str | None = None,
    *,
    align: str | None = None,
    size: float | None = None,
) -> float:
    """A large figure with a caption above or below."""
    rng = sheet.rng
    align = align or rng.choice(("left", "centre", "right"))
    caption = caption or phrases.caption(rng)
    colour = rng.choice((sheet.style.text, sheet.style.accent))
    above = rng.random() < 0.4
    if above:
        y = sheet.text(caption, x, y, width, size=0.9, colour=sheet.style.subtle, align=align, close=True)
    size = min(size or rng.uniform(1.2, 2.6), width / (4.5 * sheet.style.em))
    y = sheet.text(figure or phrases.figure(rng), x, y, width, size=size, align=align, colour=colour, close=True)
    if not above:
        y = sheet.text(caption, x, y, width, size=0.9, colour=sheet.style.subtle, align=align)
    return y + sheet.gap * 0.5


def picture(sheet: Sheet, x: float, y: float, width: float) -> float:
    """A large picture."""
    wide = width * sheet.rng.choice((1.0, 1.0, 0.6))
    tall = min(wide * sheet.rng.uniform(0.35, 1.1), 22 * sheet.style.em)
    paste_photo(sheet, Box("image", x, y, x + wide, y + tall))
    return y + tall + sheet.gap


def person(sheet: Sheet, x: float, y: float, width: float, people: Sequence[str] | None = None) -> float:
    """Small pictures, round or square, with "first line:second line" beside each."""
    rng, em = sheet.rng, sheet.style.em
    for entry in people or [_random_person(rng) for _ in range(rng.choice((1, 1, 2, 3)))]:
        name, _, more = entry.partition(":")
        size = em * rng.uniform(1.8, 4.5)
        paste_photo(sheet, Box("image", x, y, x + size, y + size), rng.random() < 0.5)
        start, room = x + size + em * 0.8, width - size - em * 0.8
        line = sheet.text(name, start, y + rng.uniform(0, 0.3) * em, room, bold=rng.random() < 0.6, close=True)
        if more:
            line = sheet.text(more, start, line, room, size=0.9, colour=sheet.style.subtle)
        y = max(y + size, line) + sheet.gap * 0.8
    return y


def _random_person(rng: Random) -> str:
    second = phrases.date(rng) if rng.random() < 0.8 else ""
    return f"{rng.choice(phrases.NAMES)}:{second}"
