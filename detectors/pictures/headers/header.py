"""What the header of a picture says, and the limits of reading it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from detectors.errors import PictureTooCostly, PictureUnknownFormat

QUARTER_TURNS = frozenset({5, 6, 7, 8})
"""Orientations that swap width and height."""


@dataclass(frozen=True, slots=True)
class Header:
    """A picture as its file describes it."""

    DEFAULT_BYTES_A_PIXEL: ClassVar[int] = 4
    """Pillow's for RGB."""

    media_type: str
    stored_width: int
    """Pixels of the picture as it is decoded, before `orientation` turns it."""
    stored_height: int
    orientation: int = 1
    """How the decoded picture has to be turned: the values of EXIF, 1 to 8."""
    bytes_a_pixel: float = DEFAULT_BYTES_A_PIXEL
    """The most memory that decoding takes for each pixel, with conversion to RGB."""
    fixed_bytes: int = 0
    """Further memory of decoding, which a reduced decoding takes as well."""
    cut_off: bool = False
    """The file is too short for so many pixels, however well they are compressed."""
    grey_bits: int = 8
    """Bits of a sample: 12 or 16 in some grey pictures, which Pillow does not scale."""
    white_is_zero: bool = False
    """Samples of 16 bits are a negative, which Pillow does not invert."""
    transparent_grey: int | None = None
    """The grey sample that is transparent, of `grey_bits` bits."""

    @property
    def turned(self) -> bool:
        """Whether `orientation` swaps width and height."""
        return self.orientation in QUARTER_TURNS

    @property
    def width(self) -> int:
        """Pixels of the upright picture."""
        return self.stored_height if self.turned else self.stored_width

    @property
    def height(self) -> int:
        return self.stored_width if self.turned else self.stored_height

    def memory_bytes(self, reduction: int = 1) -> int:
        """The most memory that decoding takes. `reduction`: a JPEG is decoded to a part of its width and height."""
        pixels = self.stored_width * self.stored_height
        return self.fixed_bytes + int(pixels * self.bytes_a_pixel / reduction**2)


def damaged(what: str) -> PictureUnknownFormat:
    """The error for a header that can't be read. `what` is wrong with it, as the end of a sentence."""
    return PictureUnknownFormat(f"The file's header is damaged: {what}.")


def counted(data: bytes, what: str, usual_bytes: int = 1024) -> Iterator[int]:
    """Counts the parts of a file while they are read. Raises `PictureTooCostly` if they are so many that reading them
    would take long: more than a thousand, and on average smaller than `usual_bytes`."""
    limit = 1000 + len(data) // usual_bytes
    yield from range(limit)
    raise PictureTooCostly(
        f"The file has more than {limit:,} {what}, which take too long to read: save the picture again in another "
        "program."
    )
