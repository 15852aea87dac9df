"""The style of a generated card: fonts, colours, text size and spacing."""

from dataclasses import dataclass
from random import Random

from training.cards.rendering.typefaces import Faces, choose_faces

Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)
MIN_CONTRAST = 170
"""Two colours with a smaller `contrast` are hard to distinguish in a small picture."""
ACCENTS: tuple[Colour, ...] = (
    (0, 99, 177),
    (0, 120, 215),
    (0, 99, 177),
    (25, 118, 210),
    (98, 100, 167),
    (31, 107, 62),
    (164, 38, 44),
    (92, 45, 145),
)
PAGES: tuple[Colour, ...] = (
    (236, 239, 243),
    (225, 228, 232),
    (200, 200, 200),
    (90, 90, 90),
    (10, 10, 10),
    (240, 230, 20),
)
"""Colours around a card, mostly pale greys."""


@dataclass(frozen=True)
class Style:
    """The style that every part of one card shares. Colours are RGB, 0..255."""

    em: int
    """Size of the body text, pixels."""
    faces: Faces
    page: Colour
    card: Colour
    text: Colour
    subtle: Colour
    line: Colour
    accent: Colour
    solid_buttons: bool
    radius: int
    spacing: float
    """Factor on all gaps, 0.6..1.4."""
    leading: float
    """Distance from one line of a block to the next, as a multiple of the text size: 1.18..1.38."""
    hand_drawn: bool = False
    """Whether the card looks as if it was drawn by hand on paper."""

    @property
    def dark(self) -> bool:
        """Whether the card is darker than its text."""
        return sum(self.card) < sum(self.text)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The colour at `share` (0..1) of the way from the first to the second."""
    r, g, b = (round(a + (c - a) * share) for a, c in zip(first, second, strict=True))
    return r, g, b


def contrast(first: Colour, second: Colour) -> int:
    """The difference of two colours: 0 for the same colour, 765 for black and white."""
    return sum(abs(a - b) for a, b in zip(first, second, strict=True))


def vivid(rng: Random) -> Colour:
    """A saturated colour of medium brightness."""
    channels = [rng.randint(0, 80), rng.randint(60, 180), rng.randint(120, 230)]
    rng.shuffle(channels)
    return channels[0], channels[1], channels[2]


def choose_style(rng: Random, theme: str | None = None) -> Style:
    """A random style. `theme` is light, dark or tinted; by default it is random, mostly light."""
    theme = theme or rng.choices(("light", "dark", "tinted"), (7, 1.5, 1.5))[0]
    accent = rng.choice((*ACCENTS, vivid(rng)))
    hand_drawn = theme == "light" and rng.random() < 0.07
    grey = rng.randint(0, 60)
    text: Colour = (grey, grey, grey)
    card = WHITE
    if theme == "dark":
        shade = rng.randint(10, 70)
        card = mix((shade, shade, shade), accent, rng.choice((0.0, 0.1, 0.3)))
        text = (255 - grey // 2,) * 3
        accent = mix(accent, WHITE, 0.4)
    elif theme == "tinted" and rng.random() < 0.3:
        card = mix(vivid(rng), rng.choice((WHITE, BLACK)), rng.uniform(0.0, 0.3))
        text = BLACK if sum(card) > 340 else WHITE
        accent = mix(text, card, 0.1)
    elif theme == "tinted":
        card = mix(WHITE, vivid(rng), rng.choice((rng.uniform(0.05, 0.3), rng.uniform(0.3, 0.5))))
        accent = mix(accent, BLACK, 0.3)
    elif hand_drawn:
        card = rng.choice((WHITE, (250, 247, 238), (240, 240, 236)))
    else:
        card = rng.choice((card, card, card, card, (250, 250, 250), (243, 242, 241)))
    pages = (card, PAGES[0], rng.choice(PAGES), mix(card, text, 0.1), mix(card, accent, 0.2), vivid(rng))
    page = rng.choices(pages, (3, 2, 2, 1, 1, 0.5))[0]
    return Style(
        em=rng.randint(10, 20),
        faces=choose_faces(rng, hand_drawn),
        page=page,
        card=card,
        text=text,
        subtle=mix(text, card, rng.uniform(0.2, 0.4) if hand_drawn else rng.uniform(0.3, 0.7)),
        line=mix(card, text, rng.uniform(0.4, 0.8) if hand_drawn else rng.uniform(0.08, 0.3)),
        accent=accent,
        solid_buttons=rng.random() < 0.42,
        radius=rng.choice((0, 0, 2, 4, 8)),
        spacing=rng.uniform(0.6, 1.4),
        leading=rng.uniform(1.18, 1.38),
        hand_drawn=hand_drawn,
    )
