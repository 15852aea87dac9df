"""The parts that a generated card is made of.

Every function draws one part at (x, y), at most `width` wide, marks its boxes and returns the y below it.
The labels follow pic2card's: a text box is any block of text, and a button with a pale face is one too, face and all;
a radio button or check box includes the words beside it; text inside a picture or on a solid button has no box.
"""

from __future__ import annotations

from PIL import Image, ImageDraw

from training import phrases
from training.looks import mix, photo
from training.sheet import ASCENT, DESCENT, Box, Sheet, hull

LINE = ASCENT + DESCENT
"""Height of a line of text in ems."""


def heading(sheet: Sheet, x: float, y: float, width: float) -> float:
    """A title, now and then with a subtitle."""
    rng = sheet.rng
    title = rng.choice(phrases.HEADINGS)
    title = title.upper() if rng.random() < 0.2 else title
    align = rng.choice(("left", "left", "left", "centre"))
    colour = rng.choice((sheet.look.text, sheet.look.text, sheet.look.accent))
    y = sheet.text(title, x, y, width, size=rng.uniform(1.1, 1.9), bold=rng.random() < 0.7, align=align, colour=colour)
    if rng.random() < 0.4:
        y = sheet.text(phrases.date(rng), x, y, width, size=0.9, colour=sheet.look.subtle, align=align)
    return y + sheet.gap * 0.5


def body(sheet: Sheet, x: float, y: float, width: float) -> float:
    """One to four blocks of running text."""
    rng = sheet.rng
    for _ in range(rng.choice((1, 1, 2, 2, 3, 4))):
        words = rng.choice((phrases.paragraph(rng, rng.randint(1, 3)), phrases.date(rng), rng.choice(phrases.NAMES)))
        colour = rng.choice((sheet.look.text, sheet.look.text, sheet.look.subtle, sheet.look.accent))
        y = sheet.text(words, x, y, width, size=rng.uniform(0.85, 1.1), bold=rng.random() < 0.15, colour=colour)
    return y + sheet.gap * 0.5


def facts(sheet: Sheet, x: float, y: float, width: float) -> float:
    """Rows of a name and a value: two boxes, or one where both stand close together."""
    rng = sheet.rng
    close = rng.random() < 0.4
    column = width * rng.uniform(0.3, 0.6)
    right = not close and rng.random() < 0.3
    for fact in rng.sample(phrases.FACTS, rng.randint(2, 7)):
        name, value = fact.split(":", 1)
        left = sheet.ink(name + rng.choice(("", ":")), x, y, column, bold=not right)
        if close:
            start = max(left.x2 + 0.5 * sheet.look.em, x + 5.5 * sheet.look.em)
            other = sheet.ink(value, start, y, width)
            sheet.mark(hull("textbox", [left, other]))
        else:
            other = sheet.ink(value, x + column, y, width - column, align="right" if right else "left")
            sheet.mark(left)
            sheet.mark(other)
        y = max(left.y2, other.y2) + sheet.look.em * 0.35 * sheet.look.dense
    return y + sheet.gap * 0.5


def statistic(sheet: Sheet, x: float, y: float, width: float) -> float:
    """A large figure with a caption above or below."""
    rng = sheet.rng
    align = rng.choice(("left", "centre", "right"))
    caption = rng.choice((rng.choice(phrases.FACTS).split(":")[0], phrases.date(rng), rng.choice(phrases.NAMES)))
    colour = rng.choice((sheet.look.text, sheet.look.accent))
    above = rng.random() < 0.4
    if above:
        y = sheet.text(caption, x, y, width, size=0.9, colour=sheet.look.subtle, align=align)
    size = min(rng.uniform(1.2, 2.6), width / (4.5 * sheet.look.em))
    y = sheet.text(phrases.figure(rng), x, y, width, size=size, align=align, colour=colour)
    if not above:
        y = sheet.text(caption, x, y, width, size=0.9, colour=sheet.look.subtle, align=align)
    return y + sheet.gap * 0.5


def fields(sheet: Sheet, x: float, y: float, width: float) -> float:
    """Labelled text inputs and drop-down lists; what stands in them is a text box of its own."""
    rng, em, look = sheet.rng, sheet.look.em, sheet.look
    filled = rng.random() < 0.3
    for entry in rng.sample(phrases.FIELDS, rng.randint(1, 3)):
        name, hint = entry.split(":", 1)
        if rng.random() < 0.85:
            y = sheet.text(name, x, y, width, bold=rng.random() < 0.2)
        height = em * rng.choice((1.8, 2.0, 2.4, 4.0))
        frame = Box("field", x, y, x + width * rng.choice((1.0, 1.0, 0.7)), y + height)
        sheet.frame(frame, look.line if filled else None, look.line if filled else mix(look.line, look.text, 0.2))
        down = height < 3 * em and rng.random() < 0.25
        if down:
            tip, middle = frame.x2 - em, y + height / 2
            sheet.draw.polygon([(tip - em / 3, middle), (tip + em / 3, middle), (tip, middle + em / 3)], look.text)
        if rng.random() < 0.85:
            top = y + (min(height, 2.4 * em) - LINE * em) / 2
            colour = rng.choice((look.subtle, look.text))
            sheet.text(hint, x + 0.6 * em, top, frame.x2 - x - 2.2 * em, colour=colour)
        y = frame.y2 + sheet.gap
    return y


def choices(sheet: Sheet, x: float, y: float, width: float) -> float:
    """A question and radio buttons or check boxes below it, in a column or in a row."""
    rng, em, look = sheet.rng, sheet.look.em, sheet.look
    if rng.random() < 0.7:
        y = sheet.text(rng.choice(phrases.HEADINGS), x, y, width, bold=rng.random() < 0.4)
    label = rng.choice(("radiobutton", "checkbox"))
    size = em * rng.uniform(0.8, 1.3)
    pitch = em * rng.uniform(1.45, 2.4)
    style = rng.choice((look.text, look.subtle, look.accent))
    in_row = rng.random() < 0.25
    left = x
    for words in rng.sample(phrases.CHOICES, rng.randint(2, 6)):
        words = words.split()[0] if in_row else words
        top = y + (LINE * em - size) / 2
        _control(sheet, label, Box(label, left, top, left + size, top + size), rng.random() < 0.4, style)
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


def _control(sheet: Sheet, label: str, box: Box, chosen: bool, colour: tuple[int, int, int]) -> None:
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
    draw.rounded_rectangle(corners, look.radius and size / 6, look.accent if solid else blank, look.accent if solid else colour, thick)
    if chosen:
        tick = [(box.x1 + size * u, box.y1 + size * v) for u, v in ((0.2, 0.5), (0.42, 0.75), (0.82, 0.22))]
        draw.line(tick, (255, 255, 255) if solid else (0, 0, 0) if blank == (255, 255, 255) else colour, max(1, round(size / 7)))


def actions(sheet: Sheet, x: float, y: float, width: float) -> float:
    """Buttons: a row of them, or a stack over the whole width. All together are the action set."""
    rng, em, look = sheet.rng, sheet.look.em, sheet.look
    stacked, height = rng.random() < 0.3, em * rng.uniform(1.7, 2.8)
    solid = look.solid_buttons
    face = look.accent if solid else rng.choice((look.card, look.card, mix(look.card, look.text, 0.1)))
    edge = None if solid else rng.choice((look.line, look.accent))
    colour = ((0, 0, 0) if sum(face) > 400 else (255, 255, 255)) if solid else rng.choice((look.accent, look.text))
    bold = rng.random() < 0.5
    left, faces = x, []
    for words in rng.sample(phrases.BUTTONS, rng.choice((1, 1, 2, 2, 3, 4))):
        wide = width if stacked else len(words) * em * 0.6 + em * rng.uniform(1.5, 3)
        if left + wide > x + width + 1 and left > x:
            break
        button = Box("actionset", left, y, left + min(wide, width), y + height)
        sheet.frame(button, face, edge)
        sheet.ink(words, button.x1, y + (height - LINE * em) / 2, button.x2 - button.x1, bold=bold, colour=colour, align="centre")
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


def picture(sheet: Sheet, x: float, y: float, width: float) -> float:
    """A large picture."""
    wide = width * sheet.rng.choice((1.0, 1.0, 0.6))
    tall = min(wide * sheet.rng.uniform(0.35, 1.1), 22 * sheet.look.em)
    _paste(sheet, Box("image", x, y, x + wide, y + tall))
    return y + tall + sheet.gap


def person(sheet: Sheet, x: float, y: float, width: float) -> float:
    """A small picture, round or square, with one to three lines of text beside it."""
    rng, em = sheet.rng, sheet.look.em
    for _ in range(rng.choice((1, 1, 2, 3))):
        size = em * rng.uniform(1.8, 4.5)
        _paste(sheet, Box("image", x, y, x + size, y + size), rng.random() < 0.5)
        start, room = x + size + em * 0.8, width - size - em * 0.8
        line = sheet.text(rng.choice(phrases.NAMES), start, y + rng.uniform(0, 0.3) * em, room, bold=rng.random() < 0.6)
        if rng.random() < 0.8:
            line = sheet.text(phrases.date(rng), start, line, room, size=0.9, colour=sheet.look.subtle)
        y = max(y + size, line) + sheet.gap * 0.8
    return y


def _paste(sheet: Sheet, box: Box, round_: bool = False) -> None:
    """A photo-like picture into this box, round or with square corners."""
    size = max(8, round(box.x2 - box.x1)), max(8, round(box.y2 - box.y1))
    mask = Image.new("L", size, 0 if round_ else 255)
    if round_:
        ImageDraw.Draw(mask).ellipse((0, 0, size[0] - 1, size[1] - 1), fill=255)
    x, y = round(box.x1), round(box.y1)
    sheet.image.paste(photo(sheet.rng, *size), (x, y), mask)
    sheet.boxes.append(Box("image", x, y, x + size[0], y + size[1]))


def rating(sheet: Sheet, x: float, y: float, width: float) -> float:
    """Five stars, or dots, some of them filled."""
    rng, look = sheet.rng, sheet.look
    full, count = rng.randint(0, 5), rng.choice((5, 5, 5, 4, 6))
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
