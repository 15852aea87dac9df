"""Boxes and labels on a picture, readable at every size."""

import colorsys
import io
from collections.abc import Sequence
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from detectors.pictures.headers import Header, read_header
from detectors.pictures.raster import read_rgb

DRAWING_REVISION = 1
"""Raise it when pictures are drawn in another way, so that those that are kept are drawn again."""
# Pixels of the shorter and of the longer side. On a smaller picture a label would cover it, so it is enlarged.
MIN_SIDES = (120, 320)
# Pixels of the longer side. A larger picture is shrunk: screens show hardly more, and encoding would take seconds.
MAX_SIDE = 2048
# With more boxes, labels are placed without avoiding the others: comparing all with all would take too long.
_MAX_BOXES_TO_AVOID = 300

# Media type -> the format that the drawn picture is saved in; PNG for all others.
_FORMATS = {"image/jpeg": "JPEG", "image/webp": "WEBP"}

Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]
Row = tuple[str, int, float, float, float, float, float]
"""A detection: label, class id, score 0 to 1, and x1, y1, x2, y2 in pixels of the picture as a person sees it."""


def annotate(data: bytes, detections: Sequence[Row], *, memory_bytes: float | None = None) -> tuple[bytes, str]:
    """The picture with its boxes drawn, and its media type: JPEG, PNG and WebP stay what they are, others become PNG.

    `memory_bytes`: the most memory that decoding may take. Raises `PictureError`.
    """
    header = read_header(data)
    canvas, scale = _canvas(data, header, memory_bytes)
    form = _FORMATS.get(header.media_type, "PNG")
    draw(canvas, detections, scale)
    output = io.BytesIO()
    canvas.save(output, form, **({} if form == "PNG" else {"quality": 90}))
    return output.getvalue(), f"image/{form.lower()}"


def colour_of(class_id: int) -> Colour:
    """One steady colour per class: hues a golden angle apart, so that neighbouring classes differ most."""
    red, green, blue = colorsys.hsv_to_rgb((class_id * 0.618034 + 0.58) % 1.0, 0.85, 0.9)
    return round(red * 255), round(green * 255), round(blue * 255)


def draw(canvas: Image.Image, detections: Sequence[Row], scale: float = 1.0) -> None:
    """Draws on `canvas`, an RGB or RGBA picture that shows the original at `scale`."""
    pen = ImageDraw.Draw(canvas)
    line = max(2, round(min(canvas.size) / 250))
    font = _font(max(11, round(min(canvas.size) / 40)))
    boxes = [(x1 * scale, y1 * scale, x2 * scale, y2 * scale) for *_, x1, y1, x2, y2 in detections]
    # The best ones last, so that they lie on top.
    for (_, class_id, *_), box in reversed(list(zip(detections, boxes, strict=True))):
        _outline(pen, box, canvas.size, colour_of(class_id), line)
    labels: list[Box] = []
    for (label, class_id, score, *_), box in zip(detections, boxes, strict=True):
        _label(pen, f"{label} {score:.2f}", box, canvas.size, colour_of(class_id), font, boxes, labels)


def _canvas(data: bytes, header: Header, memory_bytes: float | None) -> tuple[Image.Image, float]:
    """The picture upright in RGB, and its scale."""
    shorter, longer = sorted((header.width, header.height))
    scale = min(max(1.0, MIN_SIDES[0] / shorter, MIN_SIDES[1] / longer), MAX_SIDE / longer)
    size = max(1, round(header.width * scale)), max(1, round(header.height * scale))
    picture = read_rgb(data, header, size=size, margin=1.0, memory_bytes=memory_bytes)
    return picture if picture.size == size else picture.resize(size), scale


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _contrast(colour: Colour) -> Colour:
    """Black or white, whichever stands out (luma after ITU-R BT.601)."""
    red, green, blue = colour
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)


def _outline(pen: ImageDraw.ImageDraw, box: Box, size: tuple[int, int], colour: Colour, line: int) -> None:
    left, right = sorted(max(0.0, min(size[0] - 1.0, edge)) for edge in (box[0], box[2]))
    top, bottom = sorted(max(0.0, min(size[1] - 1.0, edge)) for edge in (box[1], box[3]))
    # A thin rim of the opposite lightness, so that the line is seen on a ground of its own colour too.
    rim = (max(0.0, left - 1), max(0.0, top - 1), min(size[0] - 1.0, right + 1), min(size[1] - 1.0, bottom + 1))
    pen.rectangle(rim, outline=_contrast(colour), width=line + 2)
    pen.rectangle((left, top, right, bottom), outline=colour, width=line)


def _label(
    pen: ImageDraw.ImageDraw,
    text: str,
    box: Box,
    size: tuple[int, int],
    colour: Colour,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    boxes: Sequence[Box],
    labels: list[Box],
) -> None:
    """Writes a label beside or in its box, where it hides least of `boxes` and `labels`. Adds its place to `labels`."""
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    pad = 2
    width, height = right - left + 2 * pad, bottom - top + 2 * pad
    corners = [
        (box[0], box[1] - height),  # above, which is where people look first
        (box[0], box[3]),
        (box[2] - width, box[1] - height),
        (box[2], box[1]),
        (box[0] - width, box[1]),
        (box[0], box[1]),
    ]
    places = [_inside(corner, (width, height), size) for corner in corners]
    place = places[0]
    if len(boxes) <= _MAX_BOXES_TO_AVOID:
        place = min(places, key=lambda place: _hidden(place, boxes) + 4 * _hidden(place, labels))
    labels.append(place)
    pen.rectangle((place[0], place[1], place[2] - 1, place[3] - 1), fill=colour)
    pen.text((place[0] + pad - left, place[1] + pad - top), text, fill=_contrast(colour), font=font)


def _inside(corner: tuple[float, float], label: tuple[float, float], size: tuple[int, int]) -> Box:
    x = max(0.0, min(corner[0], size[0] - label[0]))
    y = max(0.0, min(corner[1], size[1] - label[1]))
    return round(x), round(y), round(x + label[0]), round(y + label[1])


def _hidden(place: Box, others: Sequence[Box]) -> float:
    """The areas that a box shares with others, added up."""
    widths = (max(0.0, min(place[2], other[2]) - max(place[0], other[0])) for other in others)
    heights = (max(0.0, min(place[3], other[3]) - max(place[1], other[1])) for other in others)
    return sum(width * height for width, height in zip(widths, heights, strict=True))
