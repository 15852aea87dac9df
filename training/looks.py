"""How a generated card looks: its fonts, its colours, its scale. And photo-like pictures to put on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SIGNS = ("Main Street", "Harbour", "CAFE", "Spider", "Contact us", "Exit 12", "now", "OPEN")
"""What may be written inside a picture; it is part of the picture."""

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont

FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "/Library/Fonts", "C:/Windows/Fonts")
UNFIT = ("math", "mono", "extralight", "symbol", "emoji", "icons", "cjk", "oblique", "italic", "wingdings")
"""Font files whose names contain one of these are left out."""


@cache
def font_files() -> tuple[tuple[str, str], ...]:
    """(regular, bold) pairs of font files on this machine, sorted by name. Empty strings: Pillow's own font."""
    found = sorted(path for folder in FONT_FOLDERS for path in Path(folder).rglob("*.[to]tf"))
    usable = {path.stem.lower(): str(path) for path in found if not any(word in path.stem.lower() for word in UNFIT)}
    pairs: list[tuple[str, str]] = [("", "")]
    for stem, path in usable.items():
        plain = stem.removesuffix("-regular")
        bold = usable.get(f"{plain}-bold")
        if bold:
            pairs.append((path, bold))
    return tuple(pairs)


@cache
def font(file: str, size: int) -> Font:
    """A font file at a size in pixels; the empty string is the scalable font that Pillow brings."""
    loaded = ImageFont.truetype(file, size) if file else ImageFont.load_default(size)
    assert isinstance(loaded, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return loaded


@dataclass(frozen=True)
class Look:
    """The style that every part of one card shares. Colours are RGB, 0..255."""

    em: int
    """Size of the body text, pixels."""
    faces: tuple[str, str]
    """Font files: regular, bold."""
    page: Colour
    card: Colour
    text: Colour
    subtle: Colour
    line: Colour
    accent: Colour
    solid_buttons: bool
    radius: int
    dense: float
    """Factor on all gaps, 0.6..1.4."""

    @property
    def dark(self) -> bool:
        """Whether light text stands on a dark card."""
        return sum(self.card) < sum(self.text)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The colour at `share` (0..1) of the way from the first to the second."""
    r, g, b = (round(a + (c - a) * share) for a, c in zip(first, second, strict=True))
    return r, g, b


def vivid(rng: Random) -> Colour:
    """A saturated colour of medium brightness."""
    channels = [rng.randint(0, 80), rng.randint(60, 180), rng.randint(120, 230)]
    rng.shuffle(channels)
    return channels[0], channels[1], channels[2]


def choose_look(rng: Random, theme: str | None = None) -> Look:
    """A consistent style: `theme` is light, dark or tinted, or by chance mostly light."""
    theme = theme or rng.choices(("light", "dark", "tinted"), (6, 2, 2))[0]
    accent = rng.choice(((0, 99, 177), (0, 120, 215), (31, 107, 62), (164, 38, 44), (92, 45, 145), vivid(rng)))
    grey = rng.randint(0, 60)
    text: Colour = (grey, grey, grey)
    card: Colour = (255, 255, 255)
    if theme == "dark":
        shade = rng.randint(10, 70)
        card = mix((shade, shade, shade), accent, rng.choice((0.0, 0.1, 0.3)))
        text = (255 - grey // 2,) * 3
        accent = mix(accent, (255, 255, 255), 0.4)
    elif theme == "tinted":
        card = mix((255, 255, 255), vivid(rng), rng.uniform(0.05, 0.3))
    else:
        card = rng.choice((card, card, (250, 250, 250), (243, 242, 241)))
    page = rng.choice((card, mix(card, text, 0.08), mix(card, text, 0.2), mix(card, accent, 0.2), vivid(rng)))
    return Look(
        em=rng.randint(10, 20),
        faces=rng.choice((("", ""), rng.choice(font_files()))),
        page=page,
        card=card,
        text=text,
        subtle=mix(text, card, rng.uniform(0.3, 0.6)),
        line=mix(card, text, rng.uniform(0.08, 0.3)),
        accent=accent,
        solid_buttons=rng.random() < 0.4,
        radius=rng.choice((0, 0, 2, 4, 8)),
        dense=rng.uniform(0.6, 1.4),
    )


def photo(rng: Random, width: int, height: int) -> Image.Image:
    """A picture that could be a photograph, a drawing or a map, RGB, of this size in pixels."""
    draw_one = rng.choice((_landscape, _scene, _scene, _logo, _street_map))
    picture = draw_one(rng, max(width, 8), max(height, 8)).resize((width, height))
    if rng.random() < 0.15:
        letters = font("", max(8, width // rng.randint(6, 12)))
        at = (rng.uniform(0, 0.5) * width, rng.uniform(0, 0.8) * height)
        ImageDraw.Draw(picture).text(at, rng.choice(SIGNS), rng.choice(((255, 255, 255), (20, 20, 20))), letters)
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
    """Overlapping soft shapes, like things or people out of focus."""
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
    ground = rng.choice((vivid(rng), (255, 255, 255), (30, 30, 40)))
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


def table_top(rng: Random, width: int, height: int) -> Image.Image:
    """Planks of wood, RGB, of this size in pixels."""
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
    """The noise of a sensor."""
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(2, 14), (picture.height, picture.width, 1))
    return Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8))
