"""Radio buttons and check boxes as browsers, phones and style sheets draw them, without their words.

Both kinds come in every style; only the ring with a dot and the square with a tick tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw

from training.cards.looks import BLACK, VISIBLE, WHITE, Colour, Look, contrast, mix
from training.cards.rendering.sheet import Box, Sheet

FINE = 4
"""Toggles are drawn this many times larger and reduced: their thin lines must be smooth, as on a screen."""


@dataclass(frozen=True)
class Style:
    """How the toggles of one list look. Shares are of the toggle's size; no colour means the look's own."""

    edge: Colour | None = None
    face: Colour | None = WHITE
    shade: Colour | None = None
    """The lower end of a face that darkens downwards."""
    thick: float = 0.07
    corner: float = 0.15
    solid: bool = False
    """Chosen ones are filled with colour, and the mark on them is white."""
    colour: Colour | None = None
    """Of chosen ones: their mark, or their face where they are solid."""
    dot: float = 0.23
    tick: float = 0.13
    size: float = 0.9
    """In ems, give or take a quarter."""


BLUES: tuple[Colour, ...] = ((0, 117, 255), (0, 120, 215), (13, 110, 253), (25, 118, 210), (33, 96, 250))
STYLES: tuple[Style, ...] = (
    Style(edge=(160, 160, 160), face=(248, 248, 248), shade=(218, 218, 218), colour=(70, 70, 70), dot=0.2, tick=0.16),
    Style(edge=(160, 160, 160), face=(248, 248, 248), shade=(218, 218, 218), colour=(70, 70, 70), dot=0.2, tick=0.16),
    Style(edge=(170, 170, 170), face=(240, 240, 240), shade=(222, 222, 222), colour=(60, 60, 60), corner=0.1),
    Style(edge=(118, 118, 118), colour=(40, 40, 40)),
    Style(edge=(118, 118, 118), solid=True, colour=BLUES[0], corner=0.2),
    Style(edge=(118, 118, 118), solid=True, colour=BLUES[0], corner=0.2),
    Style(edge=(50, 50, 50), solid=True, colour=BLUES[1], corner=0.0, size=1.1),
    Style(edge=(188, 188, 188), solid=True, colour=BLUES[1], corner=0.0, size=1.4),
    Style(edge=(50, 50, 50), colour=(20, 20, 20), corner=0.0),
    Style(edge=(173, 181, 189), solid=True, colour=BLUES[2], corner=0.25, size=1.0),
    Style(edge=(180, 186, 192), face=(222, 226, 230), solid=True, colour=BLUES[4], corner=0.25, size=1.0),
    Style(edge=(95, 99, 104), face=None, thick=0.11, corner=0.12, solid=True, colour=BLUES[3], size=1.15),
    Style(edge=(95, 99, 104), face=None, thick=0.1, corner=0.12, solid=True, size=1.35),
    Style(edge=(185, 185, 186), thick=0.06, corner=0.2, colour=(15, 15, 15), tick=0.19, dot=0.26, size=1.2),
    Style(face=None, thick=0.09, size=1.0),
    Style(face=None, thick=0.12, solid=True, corner=0.2, size=1.1),
    Style(face=None, thick=0.08, corner=0.0, size=0.95),
    Style(thick=0.06, corner=0.1, colour=BLACK),
)


def choose_style(rng: Random) -> Style:
    """One of the usual ways."""
    return rng.choice(STYLES)


def toggle(sheet: Sheet, label: str, style: Style, x: float, y: float, size: float, chosen: bool) -> Box:
    """Draw a radiobutton or checkbox with its top left corner here, `size` pixels wide. Returns its place, unmarked."""
    pixels = max(5, round(size))
    left, top = round(x), round(y)
    image, mask = _drawn(label, style, sheet.look, pixels * FINE, chosen)
    small = (pixels, pixels)
    sheet.image.paste(image.resize(small, Image.Resampling.BOX), (left, top), mask.resize(small, Image.Resampling.BOX))
    return Box(label, left, top, left + pixels, top + pixels)


def _drawn(label: str, style: Style, look: Look, size: int, chosen: bool) -> tuple[Image.Image, Image.Image]:
    """The toggle in a square of so many pixels, and where it covers what is below."""
    edge = style.edge or (look.text if style.colour else mix(look.text, look.card, 0.2))
    face = style.face or look.card
    colour = style.colour or (look.accent if contrast(look.accent, face) > VISIBLE else look.text)
    if max(contrast(edge, look.card), contrast(face, look.card)) < VISIBLE:
        edge = mix(edge, look.text, 0.3)
    if look.dark and style.face is None:
        edge = mix(edge, WHITE, 0.6)
    round_, solid = label == "radiobutton", chosen and style.solid
    corner = size / 2 if round_ else style.corner * size
    last = size - 1
    mask = Image.new("L", (size, size), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, last, last), corner, 255)
    image = Image.new("RGB", (size, size), face)
    draw = ImageDraw.Draw(image)
    if style.shade and not solid:
        for row in range(size):
            draw.line((0, row, size, row), mix(face, style.shade, row / size))
    thick = max(FINE, round(style.thick * size))
    ring = solid and round_ and style.thick > 0.065 and style.corner < 0.22
    """Some solid radio buttons stay hollow: a ring of the colour with a dot of the same."""
    if solid and not ring:
        draw.rectangle((0, 0, last, last), colour)
    draw.rounded_rectangle((0, 0, last, last), corner, None, colour if solid else edge, thick)
    if chosen:
        mark = WHITE if solid and not ring else colour
        if round_:
            middle, r = last / 2, style.dot * size
            draw.ellipse((middle - r, middle - r, middle + r, middle + r), mark)
        else:
            draw_tick(draw, 0, 0, size, mark, style.tick)
    return image, mask


def draw_tick(draw: ImageDraw.ImageDraw, x: float, y: float, size: float, colour: Colour, thick: float = 0.13) -> None:
    """A tick in a square of this size."""
    points = [(x + size * u, y + size * v) for u, v in ((0.2, 0.52), (0.42, 0.74), (0.8, 0.26))]
    draw.line(points, colour, max(1, round(size * thick)), joint="curve")
