"""Functions that save a sample picture, each in another way."""

from collections.abc import Callable
from pathlib import Path
from random import Random

from PIL import ExifTags, Image, ImageDraw

from training.cards.rendering.damage import Card, photographed

Save = Callable[[Random, Card, Path], None]


def plain(_: Random, card: Card, file: Path) -> None:
    """In the format of the file's suffix."""
    card.image.save(file, quality=85)


def grey(_: Random, card: Card, file: Path) -> None:
    """With one channel."""
    card.image.convert("L").save(file)


def round_corners(_: Random, card: Card, file: Path) -> None:
    """With an alpha channel that is 0 outside the card's round corners."""
    alpha = Image.new("L", card.image.size, 0)
    ImageDraw.Draw(alpha).rounded_rectangle((0, 0, card.image.width - 1, card.image.height - 1), 24, fill=255)
    card.image.putalpha(alpha)
    card.image.save(file)


def for_print(_: Random, card: Card, file: Path) -> None:
    """In CMYK."""
    card.image.convert("CMYK").save(file, quality=85)


def sideways(_: Random, card: Card, file: Path) -> None:
    """Turned a quarter counter-clockwise, with the EXIF orientation that says so."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    card.image.transpose(Image.Transpose.ROTATE_90).save(file, quality=85, exif=exif)


def by_camera(rng: Random, card: Card, file: Path) -> None:
    """As a photo of 12 megapixels, with the card on a table."""
    photographed(rng, card, 4000, 3000).image.save(file, quality=60)


def small_and_worn(_: Random, card: Card, file: Path) -> None:
    """As a JPEG of low quality."""
    card.image.save(file, quality=25)
