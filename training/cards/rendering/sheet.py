"""The sheet on which a generated card is drawn, with the exact boxes of the drawn content."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TypedDict, Unpack

from PIL import Image, ImageDraw

from training.boxes import Box
from training.cards.rendering.typefaces import Font, font
from training.cards.style import Colour, Style

ASCENT, DESCENT = 0.8, 0.25
"""Extent of a line of text above and below its baseline, in ems, for its box."""
LINE_HEIGHT = ASCENT + DESCENT
"""Height of a line of text in ems."""
LEFT_SHARE = {"left": 0.0, "centre": 0.5, "right": 1.0}
"""Alignment -> share of the free width that is at the left of a line."""
BOX_MARGIN = 0.15
"""Margin in ems around drawn content in its box. Boxes that people draw have such a margin."""
MAX_HEIGHT = 1000
"""Approximate largest height of a card in pixels."""


class TextOptions(TypedDict, total=False):
    """The options of `Sheet.write`."""

    size: float
    bold: bool
    colour: Colour | None
    align: str


@dataclass
class Sheet:
    """A picture under construction. Coordinates are pixels, y grows downwards."""

    image: Image.Image
    rng: Random
    style: Style
    boxes: list[Box] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.draw = ImageDraw.Draw(self.image)

    @property
    def gap(self) -> float:
        """The usual distance between two parts."""
        return self.style.em * 0.8 * self.style.spacing

    def add_box(self, box: Box) -> None:
        """Adds the box of drawn content, enlarged by BOX_MARGIN."""
        self.boxes.append(box.grown(BOX_MARGIN * self.style.em))

    def face(self, size: float = 1.0, bold: bool = False) -> Font:
        """The card's font at a size in ems."""
        return font(self.style.faces[bold], max(7, round(self.style.em * size)))

    def length(self, text: str, size: float = 1.0, bold: bool = False) -> float:
        """Width of a line of text in pixels."""
        return self.face(size, bold).getlength(text)

    def write(
        self,
        text: str,
        x: float,
        y: float,
        width: float,
        *,
        size: float = 1.0,
        bold: bool = False,
        colour: Colour | None = None,
        align: str = "left",
    ) -> Box:
        """Writes text with its top left corner at (x, y), wrapped at `width`, with `size` in ems.

        Returns the box of the text, but does not add it to the sheet.
        """
        pixels = max(7, round(self.style.em * size))
        face = self.face(size, bold)
        stroke = 0.02 * pixels if bold and not self.style.faces[1] else 0.0
        lines = _wrap(text, lambda piece: face.getlength(piece) <= width)
        pitch = pixels * self.style.leading
        left, right = x + width, x
        for number, line in enumerate(lines):
            length = face.getlength(line)
            start = x + (width - length) * LEFT_SHARE[align]
            baseline = y + ASCENT * pixels + number * pitch
            fill = colour or self.style.text
            self.draw.text((start, baseline), line, fill, face, anchor="ls", stroke_width=stroke, stroke_fill=fill)
            left, right = min(left, start), max(right, start + length)
        bottom = y + (len(lines) - 1) * pitch + (ASCENT + DESCENT) * pixels
        return Box("textbox", left, y, right, bottom)

    def text(
        self, text: str, x: float, y: float, width: float, *, close: bool = False, **writing: Unpack[TextOptions]
    ) -> float:
        """Like `write`, but adds a text box and returns the y at which the next part may start.

        The gap below is larger than the gap between two lines: nothing else distinguishes two blocks of the same style
        from one block of two lines. `close` makes the gap small. Use it if text of another style follows.
        """
        extent = self.write(text, x, y, width, **writing)
        self.add_box(extent)
        apart = 0.35 * self.style.spacing if close else self.style.leading - LINE_HEIGHT + 0.45 * self.style.spacing
        return extent.y2 + self.style.em * apart

    def frame(self, box: Box, fill: Colour | None = None, outline: Colour | None = None) -> None:
        """Draws a rectangle with the corners of the card's style."""
        radius = min(self.style.radius, box.height / 2, box.width / 2)
        self.draw.rounded_rectangle((box.x1, box.y1, box.x2, box.y2), radius, fill, outline)


def _wrap(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Breaks text into lines that fit, and words that are too long for a line."""
    lines: list[str] = []
    for word in text.split():
        if lines and fits(f"{lines[-1]} {word}"):
            lines[-1] += f" {word}"
            continue
        rest = word
        while not fits(rest) and len(rest) > 4:
            length = max(4, next(count for count in range(len(rest), 0, -1) if count == 1 or fits(rest[:count])))
            lines.append(rest[:length])
            rest = rest[length:]
        if rest:
            lines.append(rest)
    return lines or [""]
