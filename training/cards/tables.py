"""Tables on a generated card."""

from itertools import pairwise

from training.boxes import Box
from training.cards import phrases
from training.cards.rendering.icons import badge, icon
from training.cards.rendering.photos import paste_photo
from training.cards.rendering.sheet import LINE, Sheet
from training.cards.style import Colour


def table(sheet: Sheet, x: float, y: float, width: float) -> float:
    """Short cells in rows and columns, perhaps with a head, lines, a frame, signs or little pictures."""
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
            height = middle - LINE * em / 2
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


def _line(
    sheet: Sheet,
    words: str,
    x: float,
    y: float,
    width: float,
    *,
    bold: bool = False,
    colour: Colour | None = None,
    align: str = "left",
) -> None:
    """A text box of one line. Words that do not fit are left out, except the first."""
    kept = words.split()
    while len(kept) > 1 and sheet.length(" ".join(kept), 1.0, bold) > width:
        kept.pop()
    size = min(1.0, max(0.75, width / max(1.0, sheet.length(" ".join(kept), 1.0, bold))))
    sheet.text(" ".join(kept), x, y, width, size=size, bold=bold, colour=colour, align=align)
