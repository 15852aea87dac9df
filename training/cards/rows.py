"""The parts of a generated card that have rows or columns. See `training.cards.parts`."""

from collections.abc import Callable
from itertools import pairwise
from typing import Unpack

from training.boxes import Box
from training.cards import phrases
from training.cards.rendering.icons import badge, icon
from training.cards.rendering.photos import paste_photo
from training.cards.rendering.sheet import LINE_HEIGHT, Sheet, TextOptions
from training.cards.style import BLACK, WHITE, mix, vivid


def app_bar(sheet: Sheet, x: float, y: float, width: float) -> float:
    """The sender of the card: a square logo, a name, the age of the card, icons at the right end."""
    rng, em, style = sheet.rng, sheet.style.em, sheet.style
    size = em * rng.uniform(1.8, 2.8)
    paste_photo(sheet, Box("image", x, y, x + size, y + size))
    start, room = x + size + 0.8 * em, width - size - 7 * em
    name, bold = rng.choice(phrases.APPS), rng.random() < 0.7
    line = sheet.text(name, start, y, max(room, 5 * em), size=1.1, bold=bold, close=True)
    age = rng.choice((f"updated {rng.randint(2, 59)} minutes ago", phrases.date(rng)))
    if room > sheet.length(age, 0.8) and rng.random() < 0.8:
        line = sheet.text(age, start, line - 0.1 * em, room, size=0.8, colour=style.subtle)
    right = x + width
    for _ in range(rng.randint(0, 3)):
        icon(sheet, Box("icon", right - em * 1.1, y + 0.3 * em, right, y + 1.4 * em), style.text)
        right -= em * rng.uniform(1.8, 2.3)
    y = max(y + size, line) + sheet.gap * 0.6
    return sheet.text(rng.choice(phrases.HEADINGS).upper(), x, y, width, size=rng.uniform(0.9, 1.15)) + sheet.gap * 0.4


def entries(sheet: Sheet, x: float, y: float, width: float) -> float:
    """Rows of a title and a line below it, some in frames. A picture or an icon is at the left, a date at the right."""
    rng, em, style = sheet.rng, sheet.style.em, sheet.style
    framed, lined, pictured, dated, signed = (rng.random() < share for share in (0.4, 0.4, 0.4, 0.4, 0.3))
    size, bold, pad = em * rng.uniform(1.6, 2.8), rng.random() < 0.6, em * rng.uniform(0.4, 0.9)
    dated = dated and width > 18 * em
    for _ in range(rng.randint(2, 7)):
        top, left, right = y, x, x + width
        if framed:
            left, right, y = left + pad, right - pad, y + pad
        middle = y + 1.1 * em
        if pictured:
            paste_photo(sheet, Box("image", left, y, left + size, y + size))
            left += size + 0.8 * em
        elif signed:
            icon(sheet, Box("icon", left, middle - em * 0.6, left + em * 1.2, middle + em * 0.6), style.text)
            left += 2 * em
        if dated:
            moment = phrases.date(rng) if width > 26 * em else phrases.cell(rng)
            room = min(right - left - 8 * em, sheet.length(moment, 0.85) + 2)
            sheet.text(moment, right - room, middle - em / 2, room, size=0.85, align="right", colour=style.subtle)
            right -= room + 1.2 * em
        room = right - left
        line = sheet.text(phrases.entry(rng), left, y, room, bold=bold, close=True) - 0.05 * em
        small = rng.choice((phrases.date(rng), rng.choice(phrases.CONSENTS)))
        line = sheet.text(small, left, line, room, size=0.85, colour=rng.choice((style.subtle, style.text)))
        y = max(line, y + size if pictured else line) + (pad * 0.6 if framed else 0.1 * em)
        if framed:
            sheet.frame(Box("frame", x, top, x + width - 1, y), None, style.line)
            y += pad
        elif lined:
            y += 0.2 * em
            sheet.draw.line((x, y, x + width, y), style.line)
            y += 0.4 * em
        else:
            y += 0.4 * em * style.spacing
    return y + sheet.gap * 0.5


def tiles(sheet: Sheet, x: float, y: float, width: float) -> float:
    """Figures on coloured tiles. Text on a tile has no box."""
    rng, em = sheet.rng, sheet.style.em
    count = max(1, min(rng.randint(1, 4), int(width / (6 * em))))
    height, share = em * rng.uniform(3.6, 6), width / count
    for number in range(count):
        fill = mix(vivid(rng), WHITE, rng.uniform(0.0, 0.5))
        colour = BLACK if sum(fill) > 420 else WHITE
        left, room = x + number * share, share - 0.7 * em
        sheet.frame(Box("tile", left, y, left + room, y + height), fill)
        sheet.write(phrases.figure(rng), left, y + 0.6 * em, room, size=1.5, colour=colour, align="centre")
        caption = rng.choice(phrases.COLUMNS)
        sheet.write(caption, left, y + height - 1.4 * em, room, size=0.85, colour=colour, align="centre")
    return y + height + sheet.gap


def forecast(sheet: Sheet, x: float, y: float, width: float) -> float:
    """A weather forecast: days side by side, each with its name, a picture, and one or two figures."""
    rng, em, style = sheet.rng, sheet.style.em, sheet.style
    count = max(2, min(rng.randint(3, 6), int(width / (4.5 * em))))
    share, size, two = width / count, em * rng.uniform(1.8, 3.4), rng.random() < 0.7
    ending, start = rng.choice(("", "°", " °C")), rng.randrange(7)
    for number in range(count):
        left, room = x + number * share, share - 0.4 * em
        day = phrases.DAYS[(start + number) % 7]
        top = sheet.text(day, left, y, room, align="centre")
        middle = left + room / 2
        paste_photo(sheet, Box("image", middle - size / 2, top, middle + size / 2, top + size), rng.random() < 0.5)
        top = sheet.text(f"{rng.randint(10, 90)}{ending}", left, top + size + 0.3 * em, room, align="centre")
        if two:
            top = sheet.text(f"{rng.randint(1, 60)}{ending}", left, top, room, align="centre", colour=style.subtle)
    return top + sheet.gap


def journey(sheet: Sheet, x: float, y: float, width: float) -> float:
    """A journey from one place at the left to another place at the right, with an arrow between them."""
    rng, em, style = sheet.rng, sheet.style.em, sheet.style
    big, tint = rng.uniform(1.6, 2.6), rng.choice((style.text, style.accent))
    bottoms = []
    for align, left in (("left", x), ("right", x + width * 0.6)):
        room = width * 0.4
        top = y
        if rng.random() < 0.5:
            word = rng.choice(("Departs", "Arrives", "From", "To"))
            top = sheet.text(word, left, top, room, align=align, bold=True, close=True)
        code = "".join(rng.choices("ABCDEGHKLMNOPRSTUV", k=3))
        top = sheet.text(code, left, top, room, size=big, align=align, colour=tint, close=True)
        for _ in range(rng.randint(0, 2)):
            top = sheet.text(phrases.caption(rng), left, top, room, align=align, colour=style.subtle)
        bottoms.append(top)
    middle, start, end = y + em * big * 0.6, x + width * 0.44, x + width * 0.56
    sheet.draw.line((start, middle, end, middle), style.text, max(1, em // 10))
    sheet.draw.polygon(((end, middle - em / 3), (end + em / 2, middle), (end, middle + em / 3)), style.text)
    return max(bottoms) + sheet.gap


def gallery(sheet: Sheet, x: float, y: float, width: float) -> float:
    """Pictures in rows, with or without gaps."""
    rng, em = sheet.rng, sheet.style.em
    count = max(2, min(rng.randint(2, 5), int(width / (4 * em))))
    gap = em * rng.choice((0.3, 0.5, 0.8))
    side = min((width - gap * (count - 1)) / count, 9 * em)
    for _ in range(rng.choice((1, 1, 2))):
        for number in range(count):
            left = x + number * (side + gap)
            paste_photo(sheet, Box("image", left, y, left + side, y + side * 0.8))
        y += side * 0.8 + gap
    return y + sheet.gap


def table(sheet: Sheet, x: float, y: float, width: float) -> float:
    """Short cells in rows and columns. Some tables have a header, lines, a frame, icons or small pictures."""
    rng, em, style = sheet.rng, sheet.style.em, sheet.style
    count = max(2, min(rng.randint(2, 5), int(width / (6 * em))))
    first = rng.uniform(0.3, 0.55) if count > 2 else rng.uniform(0.5, 0.7)
    edges = [x, *(x + width * (first + (1 - first) * n / (count - 1)) for n in range(count))]
    aligns = ["left", *rng.choices(("left", "left", "centre", "right"), k=count - 1)]
    lined, framed, upright, badges, signs, faces = (rng.random() < share for share in (0.5, 0.3, 0.2, 0.2, 0.2, 0.2))
    pitch = em * rng.uniform(1.6, 2.8)
    pad, top = 0.5 * em if framed or upright else 0.0, y
    named = rng.random() < 0.7
    heads, bold = rng.sample(phrases.COLUMNS, count), rng.random() < 0.5
    shout = rng.random() < 0.3
    for row in range(rng.randint(2, 9) + named):
        head = named and row == 0
        middle = y + pitch / 2
        for column, (left, right) in enumerate(pairwise(edges)):
            start, room = left + pad, right - left - 2 * pad - (0.6 * em if column + 1 < count else 0)
            height = middle - LINE_HEIGHT * em / 2
            if head:
                words = heads[column].upper() if shout else heads[column]
                colour = style.text if bold else style.subtle
                _line(sheet, words, start, height, room, bold=bold, colour=colour, align=aligns[column])
            elif column == 0:
                if faces:
                    size = min(1.9 * em, pitch * 0.9)
                    paste_photo(sheet, Box("image", start, middle - size / 2, start + size, middle + size / 2), True)
                    start, room = start + size + 0.7 * em, room - size - 0.7 * em
                _line(sheet, phrases.entry(rng), start, height, room)
            elif badges and column == count - 1:
                badge(sheet, str(rng.randint(1, 60)), start, middle - 0.75 * em)
            else:
                words = phrases.cell(rng)
                words = words if sheet.length(words) < room else str(rng.randint(1, 99))
                _line(sheet, words, start, height, room, align=aligns[column])
                if signs and column == 1 and aligns[column] == "left" and room > 7 * em:
                    icon(sheet, Box("icon", right - 2 * em, middle - em / 2, right - em, middle + em / 2), style.text)
        y += pitch
        if lined or head:
            sheet.draw.line((x, y, x + width, y), style.line)
    if framed:
        sheet.draw.rectangle((x, top, x + width - 1, y), None, style.line)
    if upright:
        for edge in edges[1:-1]:
            sheet.draw.line((edge, top, edge, y), style.line)
    return y + sheet.gap


def _line(sheet: Sheet, words: str, x: float, y: float, width: float, **writing: Unpack[TextOptions]) -> None:
    """A text box of one line. Words that do not fit are left out, except the first."""
    kept, bold = words.split(), writing.get("bold", False)
    while len(kept) > 1 and sheet.length(" ".join(kept), 1.0, bold) > width:
        kept.pop()
    writing["size"] = min(1.0, max(0.75, width / max(1.0, sheet.length(" ".join(kept), 1.0, bold))))
    sheet.text(" ".join(kept), x, y, width, **writing)


ROWS: tuple[tuple[Callable[[Sheet, float, float, float], float], float], ...] = (
    (table, 1.0),
    (entries, 1.2),
    (tiles, 0.4),
    (forecast, 0.5),
    (journey, 0.5),
    (gallery, 0.3),
)
"""The parts of this module and their weights in a random choice."""
