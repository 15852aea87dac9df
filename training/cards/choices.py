"""Questions with radio buttons or check boxes below them. The functions are parts, as in `training.cards.parts`.

Radio buttons and check boxes have the same layouts and are equally frequent. A box includes the toggle and its words.
"""

from collections.abc import Callable, Sequence

from training.boxes import Box, hull
from training.cards import phrases
from training.cards.options import TOGGLES, Choice, choose, option, option_width
from training.cards.rendering.photos import paste_photo
from training.cards.rendering.sheet import LINE_HEIGHT, Sheet
from training.cards.rendering.toggles import draw_tick
from training.cards.style import WHITE, mix

Layout = Callable[[Sheet, Choice, Sequence[str], float, float, float], float]


def choices(
    sheet: Sheet,
    x: float,
    y: float,
    width: float,
    label: str | None = None,
    question: str | None = None,
    answers: Sequence[str] | None = None,
) -> float:
    """A question and its answers: `answers` in a column, or random ones in a random layout."""
    rng = sheet.rng
    if question or rng.random() < 0.75:
        words = question or rng.choice((rng.choice(phrases.HEADINGS), rng.choice(phrases.QUESTIONS)))
        y = sheet.text(words, x, y, width, bold=rng.random() < 0.4)
    choice = choose(sheet, label)
    if answers:
        return _column(sheet, choice, answers, x, y, width) + sheet.gap
    layout = rng.choices([layout for layout, _ in LAYOUTS], [weight for _, weight in LAYOUTS])[0]
    return layout(sheet, choice, phrases.options(rng), x, y, width) + sheet.gap


def _column(sheet: Sheet, choice: Choice, answers: Sequence[str], x: float, y: float, width: float) -> float:
    em, rng = sheet.style.em, sheet.rng
    indent = rng.choice((0.0, 0.0, rng.uniform(0.3, 2))) * em
    framed = rng.random() < 0.15
    top, y = y, y + (0.4 * em if framed else 0)
    indent = max(indent, 0.4 * em) if framed else indent
    for number, words in enumerate(answers):
        found = option(sheet, choice, number, words, x + indent, y, width - indent)
        y = max(y + choice.pitch * em, found.y2 + (choice.pitch - LINE_HEIGHT) * em)
    bottom = found.y2 + 0.3 * em
    if framed:
        edge = rng.choice((sheet.style.line, (230, 120, 130)))
        sheet.draw.rectangle((x, top, x + width - 1, bottom), None, edge)
    return bottom


def _row(sheet: Sheet, choice: Choice, answers: Sequence[str], x: float, y: float, width: float) -> float:
    """Answers side by side, in as many lines as they need."""
    em = sheet.style.em
    left, between, bottom = x, em * sheet.rng.uniform(0.9, 2.2), y
    for number, words in enumerate(answers):
        if left > x and left + option_width(sheet, choice, words) > x + width:
            left, y = x, bottom + max(0.3, choice.pitch - LINE_HEIGHT) * em
        found = option(sheet, choice, number, words, left, y, max(width, 4 * em))
        left, bottom = found.x2 + between, max(bottom, found.y2)
    return bottom + 0.3 * em


def _columns(sheet: Sheet, choice: Choice, _: Sequence[str], x: float, y: float, width: float) -> float:
    """Columns of numbers, months, years or words, close together, each with a heading."""
    em, rng = sheet.style.em, sheet.rng
    choice.pitch, choice.size = max(choice.height() + 0.15, rng.uniform(1.2, 1.6)), min(choice.size, 1.0)
    count = max(1, min(rng.randint(1, 4), int(width / (8 * em))))
    named, long, bottoms = rng.random() < 0.6, rng.randint(8, 31), [y]
    for number in range(count):
        left, room, top = x + number * width / count, width / count - 0.8 * em, y
        if named:
            top = sheet.text(rng.choice(phrases.LISTS), left, top, room)
        choice.selected = rng.randrange(6)
        for place, words in enumerate(phrases.short_list(rng, long)):
            found = option(sheet, choice, place, words, left, top, room)
            top = max(top + choice.pitch * em, found.y2 + 0.2 * em)
        bottoms.append(top)
        if rng.random() < 0.3:
            choice = choose(sheet)
            choice.pitch, choice.toggle_right, choice.size = choice.height() + 0.3, False, min(choice.size, 1.0)
    return max(bottoms)


def _table(sheet: Sheet, choice: Choice, answers: Sequence[str], x: float, y: float, width: float) -> float:
    """Rows of answers, some with a value at the right end, a description below, a line or a coloured band."""
    em, rng, style = sheet.style.em, sheet.rng, sheet.style
    value, more, lined, banded = (rng.random() < share for share in (0.6, 0.5, 0.5, 0.3))
    bold = rng.random() < 0.6
    choice.toggle_right = False
    pad = em * rng.uniform(0.3, 0.8)
    for number, words in enumerate(answers):
        top = y
        if banded and number % 2 == 0:
            bottom = y + choice.height() * em + 2 * pad
            sheet.draw.rectangle(
                (x, y, x + width - 1, bottom + (1.4 * em if more else 0)), mix(style.card, style.text, 0.04)
            )
        y += pad
        found = option(sheet, choice, number, words, x + 0.4 * em, y, width * 0.7)
        if value:
            middle = (found.y1 + min(found.y2, found.y1 + choice.height() * em)) / 2
            shown = rng.choice((phrases.figure(rng), f"Value {number + 1}"))
            sheet.text(shown, x + width * 0.75, middle - LINE_HEIGHT * em / 2, width * 0.24, bold=bold, align="right")
        y = found.y2 + pad
        if more:
            y = sheet.text(phrases.date(rng), x + 0.2 * em, y, width * 0.7, size=0.95, colour=style.subtle)
        if lined:
            sheet.draw.line((x, y, x + width, y), style.line)
        y = max(y, top + 1.3 * em)
    return y


def _grid(sheet: Sheet, choice: Choice, answers: Sequence[str], x: float, y: float, width: float) -> float:
    """Answers in equal columns, some under pictures."""
    em, rng = sheet.style.em, sheet.rng
    count = max(1, min(rng.randint(2, 4), int(width / (7 * em))))
    room = width / count
    pictures, bottom = rng.random() < 0.5, y
    for number, words in enumerate(answers[: count * (1 if pictures else 3)]):
        if number % count == 0:
            y = bottom + (0.3 * em if number else 0)
        left, top = x + number % count * room, y
        if pictures:
            paste_photo(sheet, Box("image", left, top, left + room * 0.8, top + room * 0.7))
            top += room * 0.7 + 0.5 * em
        bottom = max(bottom, option(sheet, choice, number, words, left, top, room - 0.8 * em).y2)
    return bottom + 0.4 * em


def _long(sheet: Sheet, choice: Choice, _: Sequence[str], x: float, y: float, width: float) -> float:
    """One to three long answers, such as "I accept the terms"."""
    for number, words in enumerate(sheet.rng.sample(phrases.CONSENTS, sheet.rng.choice((1, 1, 2, 3)))):
        y = option(sheet, choice, number, words, x, y, width).y2 + max(0.3, choice.pitch - LINE_HEIGHT) * sheet.style.em
    return y


def _sizes(sheet: Sheet, choice: Choice, answers: Sequence[str], x: float, y: float, width: float) -> float:
    """Answers of growing size. If there is room, radio buttons and check boxes are side by side."""
    em, rng = sheet.style.em, sheet.rng
    labels = rng.sample(TOGGLES, 2) if width > 22 * em else [choice.label]
    grow, share = rng.uniform(1.1, 1.25), rng.choice((0.9, 1.1, 1.4))
    selected = rng.random() < 0.7
    choice.toggle_right = False
    for number, words in enumerate(answers[:6]):
        choice.text_size = min(0.85 * grow**number, 2.2)
        choice.size = max(0.75, choice.text_size * share)
        choice.selected = number if selected else None
        found = []
        for column, label in enumerate(labels):
            choice.label = label
            room = width / len(labels)
            found.append(option(sheet, choice, number, words, x + column * room, y, room - em))
        y = max(box.y2 for box in found) + 0.45 * em
    return y


def _bands(sheet: Sheet, choice: Choice, answers: Sequence[str], x: float, y: float, width: float) -> float:
    """A coloured band for every answer. A selected radio button is shown as a tick on a band of the accent colour."""
    em, rng, style = sheet.style.em, sheet.rng, sheet.style
    height, wide = em * rng.uniform(1.9, 2.6), width * rng.choice((1.0, 1.0, 0.6))
    selected, size = rng.randrange(len(answers)), choice.size * em
    choice.toggle_right, choice.selected = False, None
    room = wide - size - (1.4 + choice.gap) * em
    fitting = [words if sheet.length(words) < room else words.split()[0] for words in answers]
    for number, words in enumerate(fitting):
        chosen = number == selected and choice.label == "radiobutton"
        colour = style.accent if chosen else mix(style.card, style.text, 0.05)
        sheet.frame(Box("band", x, y, x + wide, y + height), colour)
        top = y + (height - choice.height() * em) / 2
        if chosen:
            left, middle, colour = x + 0.7 * em, y + height / 2, style.card if style.dark else WHITE
            draw_tick(sheet.draw, left, middle - size / 2, size, colour)
            text = sheet.write(words, left + size + choice.gap * em, middle - LINE_HEIGHT * em / 2, wide, colour=colour)
            tick = Box("tick", left, middle - size / 2, left + size, middle + size / 2)
            sheet.add_box(hull(choice.label, [tick, text]))
        else:
            option(sheet, choice, number, words, x + 0.7 * em, top, wide)
        y += height + em * 0.4
    return y


LAYOUTS: tuple[tuple[Layout, float], ...] = (
    (_column, 8),
    (_row, 2),
    (_columns, 1.0),
    (_table, 1.6),
    (_grid, 1.2),
    (_long, 1.5),
    (_sizes, 0.8),
    (_bands, 1),
)
