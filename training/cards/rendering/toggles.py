"""Radio buttons and check boxes as browsers, phones and style sheets draw them, without their words.

Both have the same styles. Only the shape distinguishes them: a ring with a dot, or a square with a tick.
"""

from dataclasses import dataclass

from PIL import Image, ImageDraw

from training.boxes import Box
from training.cards.rendering.sheet import Sheet
from training.cards.style import BLACK, MIN_CONTRAST, WHITE, Colour, Style, contrast, mix

SUPERSAMPLING = 4
"""Toggles are drawn this many times larger and then reduced, so that thin lines are smooth, as on a screen."""


@dataclass(frozen=True)
class ToggleStyle:
    """The style of the toggles of one list. Lengths are shares of the toggle's size. None means a colour of the card's
    `Style`."""

    edge: Colour | None = None
    face: Colour | None = WHITE
    shade: Colour | None = None
    """Colour at the lower end of the face, which then has a gradient from `face` to it."""
    thick: float = 0.07
    corner: float = 0.15
    solid: bool = False
    """Whether selected toggles are filled with colour and have a white mark."""
    colour: Colour | None = None
    """Colour of the mark of a selected toggle, or of its face if it is solid."""
    dot: float = 0.23
    tick: float = 0.13
    size: float = 0.9
    """Size in ems. It varies by up to a quarter from list to list."""


BLUES: tuple[Colour, ...] = ((0, 117, 255), (0, 120, 215), (13, 110, 253), (25, 118, 210), (33, 96, 250))
TOGGLE_STYLES: tuple[ToggleStyle, ...] = (
    ToggleStyle(
        edge=(160, 160, 160), face=(248, 248, 248), shade=(218, 218, 218), colour=(70, 70, 70), dot=0.2, tick=0.16
    ),
    ToggleStyle(
        edge=(160, 160, 160), face=(248, 248, 248), shade=(218, 218, 218), colour=(70, 70, 70), dot=0.2, tick=0.16
    ),
    ToggleStyle(edge=(170, 170, 170), face=(240, 240, 240), shade=(222, 222, 222), colour=(60, 60, 60), corner=0.1),
    ToggleStyle(edge=(118, 118, 118), colour=(40, 40, 40)),
    ToggleStyle(edge=(118, 118, 118), solid=True, colour=BLUES[0], corner=0.2),
    ToggleStyle(edge=(118, 118, 118), solid=True, colour=BLUES[0], corner=0.2),
    ToggleStyle(edge=(50, 50, 50), solid=True, colour=BLUES[1], corner=0.0, size=1.1),
    ToggleStyle(edge=(188, 188, 188), solid=True, colour=BLUES[1], corner=0.0, size=1.4),
    ToggleStyle(edge=(50, 50, 50), colour=(20, 20, 20), corner=0.0),
    ToggleStyle(edge=(173, 181, 189), solid=True, colour=BLUES[2], corner=0.25, size=1.0),
    ToggleStyle(edge=(180, 186, 192), face=(222, 226, 230), solid=True, colour=BLUES[4], corner=0.25, size=1.0),
    ToggleStyle(edge=(95, 99, 104), face=None, thick=0.11, corner=0.12, solid=True, colour=BLUES[3], size=1.15),
    ToggleStyle(edge=(95, 99, 104), face=None, thick=0.1, corner=0.12, solid=True, size=1.35),
    ToggleStyle(edge=(185, 185, 186), thick=0.06, corner=0.2, colour=(15, 15, 15), tick=0.19, dot=0.26, size=1.2),
    ToggleStyle(face=None, thick=0.09, size=1.0),
    ToggleStyle(face=None, thick=0.12, solid=True, corner=0.2, size=1.1),
    ToggleStyle(face=None, thick=0.08, corner=0.0, size=0.95),
    ToggleStyle(thick=0.06, corner=0.1, colour=BLACK),
)


def toggle(sheet: Sheet, label: str, toggle_style: ToggleStyle, x: float, y: float, size: float, chosen: bool) -> Box:
    """Draws a radiobutton or checkbox, `size` pixels wide, with its top left corner at (x, y). Adds no box.

    Returns its box.
    """
    pixels = max(5, round(size))
    left, top = round(x), round(y)
    image, mask = _drawn(label, toggle_style, sheet.style, pixels * SUPERSAMPLING, chosen)
    small = (pixels, pixels)
    sheet.image.paste(image.resize(small, Image.Resampling.BOX), (left, top), mask.resize(small, Image.Resampling.BOX))
    return Box(label, left, top, left + pixels, top + pixels)


def _drawn(
    label: str, toggle_style: ToggleStyle, style: Style, size: int, chosen: bool
) -> tuple[Image.Image, Image.Image]:
    """The toggle as a square picture of `size` pixels, and its mask."""
    edge = toggle_style.edge or (style.text if toggle_style.colour else mix(style.text, style.card, 0.2))
    face = toggle_style.face or style.card
    colour = toggle_style.colour or (style.accent if contrast(style.accent, face) > MIN_CONTRAST else style.text)
    if max(contrast(edge, style.card), contrast(face, style.card)) < MIN_CONTRAST:
        edge = mix(edge, style.text, 0.3)
    if style.dark and toggle_style.face is None:
        edge = mix(edge, WHITE, 0.6)
    round_, solid = label == "radiobutton", chosen and toggle_style.solid
    corner = size / 2 if round_ else toggle_style.corner * size
    last = size - 1
    mask = Image.new("L", (size, size), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, last, last), corner, 255)
    image = Image.new("RGB", (size, size), face)
    draw = ImageDraw.Draw(image)
    if toggle_style.shade and not solid:
        for row in range(size):
            draw.line((0, row, size, row), mix(face, toggle_style.shade, row / size))
    thick = max(SUPERSAMPLING, round(toggle_style.thick * size))
    ring = solid and round_ and toggle_style.thick > 0.065 and toggle_style.corner < 0.22
    # Some solid radio buttons are not filled: a ring and a dot of the same colour.
    if solid and not ring:
        draw.rectangle((0, 0, last, last), colour)
    draw.rounded_rectangle((0, 0, last, last), corner, None, colour if solid else edge, thick)
    if chosen:
        mark = WHITE if solid and not ring else colour
        if round_:
            middle, r = last / 2, toggle_style.dot * size
            draw.ellipse((middle - r, middle - r, middle + r, middle + r), mark)
        else:
            draw_tick(draw, 0, 0, size, mark, toggle_style.tick)
    return image, mask


def draw_tick(draw: ImageDraw.ImageDraw, x: float, y: float, size: float, colour: Colour, thick: float = 0.13) -> None:
    """Draws a tick in a square of this size."""
    points = [(x + size * u, y + size * v) for u, v in ((0.2, 0.52), (0.42, 0.74), (0.8, 0.26))]
    draw.line(points, colour, max(1, round(size * thick)), joint="curve")
