"""Pictures on generated cards and behind them."""

from collections.abc import Sequence
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from training.boxes import Box
from training.cards.rendering.sheet import Sheet
from training.cards.rendering.typefaces import font
from training.cards.style import Colour, mix, vivid

SIGN_TEXTS = ("Main Street", "Harbour", "CAFE", "Contact us", "Exit 12", "now", "OPEN")
"""Words inside a picture. They are part of the picture and have no box."""
MAX_DRAWN_SIDE = 160
"""Largest side in pixels at which a picture is drawn before it is enlarged. This is faster, and soft like a photo."""


def photo(rng: Random, width: int, height: int) -> Image.Image:
    """A picture that could be a photograph, a drawing or a map, RGB, of this size in pixels."""
    draw_one = rng.choice((_landscape, _scene, _scene, _logo, _street_map, _street_map))
    scale = min(1.0, MAX_DRAWN_SIDE / max(width, height))
    picture = draw_one(rng, max(round(width * scale), 8), max(round(height * scale), 8)).resize((width, height))
    if rng.random() < 0.15:
        letters = font("", max(8, width // rng.randint(6, 12)))
        xy = (rng.uniform(0, 0.5) * width, rng.uniform(0, 0.8) * height)
        ImageDraw.Draw(picture).text(xy, rng.choice(SIGN_TEXTS), rng.choice(((255, 255, 255), (20, 20, 20))), letters)
    return picture


def _landscape(rng: Random, width: int, height: int) -> Image.Image:
    """Sky, sun and layers of hills."""
    sky, ground = vivid(rng), vivid(rng)
    ramp = np.linspace(0.0, 1.0, height)[:, None, None]
    top, bottom = np.array(mix(sky, (255, 255, 255), 0.2)), np.array(mix(sky, (255, 255, 255), 0.7))
    picture = Image.fromarray(np.broadcast_to(top + (bottom - top) * ramp, (height, width, 3)).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    x, y, r = rng.randrange(width), rng.randrange(height // 2), min(width, height) // 8
    draw.ellipse((x - r, y - r, x + r, y + r), fill=(255, 240, 190))
    for layer in range(3):
        line = [(step * width / 8, height * (0.45 + 0.17 * layer + rng.uniform(-0.1, 0.1))) for step in range(9)]
        draw.polygon([(0, height), *line, (width, height)], fill=mix(ground, (0, 0, 0), 0.25 * layer))
    return _grain(rng, picture)


def _scene(rng: Random, width: int, height: int) -> Image.Image:
    """Overlapping soft shapes, like objects or people out of focus."""
    picture = Image.new("RGB", (width, height), vivid(rng))
    draw = ImageDraw.Draw(picture)
    for _ in range(rng.randint(6, 25)):
        x, y = rng.uniform(-0.2, 1) * width, rng.uniform(-0.2, 1) * height
        w, h = rng.uniform(0.05, 0.6) * width, rng.uniform(0.05, 0.6) * height
        fill = mix(vivid(rng), rng.choice(((0, 0, 0), (255, 255, 255))), rng.random())
        rng.choice((draw.ellipse, draw.rectangle))((x, y, x + w, y + h), fill=fill)
    return _grain(rng, picture.filter(ImageFilter.GaussianBlur(rng.uniform(0, 3))))


def _logo(rng: Random, width: int, height: int) -> Image.Image:
    """A few plain shapes on one colour."""
    ground = rng.choice((vivid(rng), mix(vivid(rng), (255, 255, 255), 0.8), (30, 30, 40)))
    picture = Image.new("RGB", (width, height), ground)
    draw = ImageDraw.Draw(picture)
    for _ in range(rng.randint(1, 4)):
        r = rng.uniform(0.12, 0.35) * min(width, height)
        x, y = rng.uniform(0.3, 0.7) * width, rng.uniform(0.3, 0.7) * height
        if rng.random() < 0.5:
            draw.regular_polygon((x, y, r), rng.randint(3, 7), rotation=rng.randrange(90), fill=vivid(rng))
        else:
            draw.ellipse((x - r, y - r, x + r, y + r), fill=vivid(rng))
    return picture


def _street_map(rng: Random, width: int, height: int) -> Image.Image:
    """Roads, a park and a pin."""
    picture = Image.new("RGB", (width, height), (238, 234, 226))
    draw = ImageDraw.Draw(picture)
    draw.ellipse(_somewhere(rng, width, height, 0.5), fill=(196, 224, 178))
    draw.ellipse(_somewhere(rng, width, height, 0.4), fill=(170, 205, 232))
    for _ in range(rng.randint(6, 16)):
        ends = [(rng.uniform(-0.1, 1.1) * width, rng.uniform(-0.1, 1.1) * height) for _ in range(2)]
        colour = rng.choice(((255, 255, 255), (255, 226, 140), (205, 200, 190)))
        draw.line(ends, fill=colour, width=max(1, min(width, height) // rng.randint(25, 60)))
    x, y, r = width / 2, height / 2, max(2.0, min(width, height) / 25)
    draw.ellipse((x - r, y - r, x + r, y + r), fill=(210, 30, 40))
    return picture


def paper(rng: Random, colour: Colour, width: int, height: int) -> Image.Image:
    """Paper of this size in pixels, RGB."""
    sheet = Image.new("RGB", (max(8, width // 3), max(8, height // 3)), colour)
    return _grain(rng, sheet).filter(ImageFilter.GaussianBlur(0.8)).resize((width, height))


def gradient(top: Colour, bottom: Colour, width: int, height: int) -> Image.Image:
    """A gradient from one colour to another, of this size in pixels, RGB."""
    return Image.merge(
        "RGB",
        [
            Image.linear_gradient("L").point([round(a + (b - a) * n / 255) for n in range(256)]).resize((width, height))
            for a, b in zip(top, bottom, strict=True)
        ],
    )


def table_top(rng: Random, width: int, height: int) -> Image.Image:
    """Planks of wood of this size in pixels, RGB."""
    grain = np.random.default_rng(rng.getrandbits(32))
    wood = np.array(mix((120, 80, 50), (215, 195, 170), rng.random()))
    rows = 90
    fibres = grain.normal(0, 9, (rows, 24)).cumsum(axis=1) * 0.4 + grain.normal(0, 6, (rows, 1))
    planks = np.repeat(grain.normal(0, 10, rows // 15), 15)[:, None]
    small = (wood + (fibres + planks)[:, :, None]).clip(0, 255).astype(np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def _somewhere(rng: Random, width: int, height: int, share: float) -> Sequence[float]:
    x, y = rng.uniform(0, 1 - share) * width, rng.uniform(0, 1 - share) * height
    return x, y, x + share * width, y + share * height


def _grain(rng: Random, picture: Image.Image) -> Image.Image:
    """Adds noise like that of a camera sensor."""
    count = picture.height * picture.width
    noise = np.frombuffer(rng.randbytes(count), np.uint8).reshape(picture.height, picture.width, 1) / 128.0 - 1.0
    noise *= rng.uniform(3, 22)
    return Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8))


def paste_photo(sheet: Sheet, box: Box, round_: bool = False) -> None:
    """Pastes a random picture into this box and adds its box to the sheet. `round_` makes the picture an ellipse."""
    size = max(8, round(box.width)), max(8, round(box.height))
    x, y = round(box.x1), round(box.y1)
    mask = None
    if round_:
        mask = Image.new("L", (size[0] * 2, size[1] * 2), 0)
        ImageDraw.Draw(mask).ellipse((0, 0, size[0] * 2 - 1, size[1] * 2 - 1), fill=255)
        mask = mask.resize(size)
    sheet.image.paste(photo(sheet.rng, *size), (x, y), mask)
    sheet.boxes.append(Box("image", x, y, x + size[0], y + size[1]))
