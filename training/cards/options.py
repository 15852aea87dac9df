"""One answer to a question: a radio button or check box with its words."""

from dataclasses import dataclass

from training.boxes import Box, hull
from training.cards.rendering.sheet import LINE_HEIGHT, Sheet
from training.cards.rendering.toggles import TOGGLE_STYLES, ToggleStyle, toggle

TOGGLES = ("radiobutton", "checkbox")


@dataclass
class Choice:
    """How the answers of one question look. Lengths are in ems."""

    label: str
    toggle_style: ToggleStyle
    size: float
    """Size of the toggle."""
    gap: float
    """Gap between the toggle and its words."""
    pitch: float
    """Distance from one answer to the next."""
    selected: int | None
    """Index of the chosen radio button, if any."""
    text_size: float = 1.0
    bold: bool = False
    toggle_right: bool = False
    """Whether the toggle is at the right of its words."""

    def height(self) -> float:
        """Height of an answer of one line."""
        return max(self.size, LINE_HEIGHT * self.text_size)


def choose(sheet: Sheet, label: str | None = None) -> Choice:
    """A random style. `label` is radiobutton or checkbox; by default it is random."""
    rng = sheet.rng
    toggle_style = rng.choice(TOGGLE_STYLES)
    return Choice(
        label=label or rng.choice(TOGGLES),
        toggle_style=toggle_style,
        size=max(0.75, toggle_style.size * rng.uniform(0.75, 1.25)),
        gap=rng.choice((rng.uniform(0.2, 0.6), rng.uniform(0.3, 1.2))),
        pitch=rng.choice((rng.uniform(1.25, 1.6), rng.uniform(1.4, 2.4))),
        selected=rng.choice((None, rng.randrange(4))),
        toggle_right=rng.random() < 0.02,
    )


def option(sheet: Sheet, choice: Choice, number: int, words: str, x: float, y: float, width: float) -> Box:
    """Draws one toggle with its words, wrapped at `width`, and adds its box to the sheet. Returns the box without its
    margin."""
    em, rng = sheet.style.em, sheet.rng
    size, gap = choice.size * em, choice.gap * em
    chosen = number == choice.selected if choice.label == "radiobutton" else rng.random() < 0.4
    middle = y + choice.height() * em / 2
    left = x if choice.toggle_right else x + size + gap
    top = middle - LINE_HEIGHT * choice.text_size * em / 2
    found = sheet.write(words, left, top, width - size - gap, size=choice.text_size, bold=choice.bold)
    toggle_x = found.x2 + gap if choice.toggle_right else x
    square = toggle(sheet, choice.label, choice.toggle_style, toggle_x, middle - size / 2, size, chosen)
    box = hull(choice.label, [square, found])
    sheet.add_box(box)
    return box


def option_width(sheet: Sheet, choice: Choice, words: str) -> float:
    """The width in pixels of an answer on one line."""
    return (choice.size + choice.gap) * sheet.style.em + sheet.length(words, choice.text_size, choice.bold)
