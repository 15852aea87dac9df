"""Reads a picture's header, before anything is decoded: its type, its size, and whether it is accepted."""

import hashlib
import io
import warnings

from PIL import ExifTags, Image, UnidentifiedImageError

from detectors.pictures.formats import FORMATS, QUARTER_TURNS
from jobs.errors import PictureEmpty, PictureTooLarge, PictureUnknownFormat
from jobs.records import Picture


def inspect(data: bytes, *, max_bytes: float, max_pixels: float) -> Picture:
    """Reads the header of `data` only.

    Raises `PictureEmpty`, `PictureUnknownFormat`, or `PictureTooLarge` past `max_bytes` or `max_pixels`.
    """
    if not data:
        raise PictureEmpty("The file is empty.")
    check_size(len(data), max_bytes)
    try:
        with warnings.catch_warnings():
            # A damaged EXIF block is no reason for a warning: the size of the picture is known without it.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=list(FORMATS)) as image:
                width, height = image.size
                # MPO is what phones write: a JPEG with a second picture behind the first.
                media_type = FORMATS["JPEG" if image.format == "MPO" else image.format or ""]
                turned = orientation(image) in QUARTER_TURNS
    except UnidentifiedImageError:
        raise PictureUnknownFormat(
            f"The file is not a picture of a known format. Known formats are {', '.join(FORMATS)}."
        ) from None
    except (OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError, TypeError, OverflowError) as error:
        # Pillow's parsers raise any of these on a header that is damaged.
        raise PictureUnknownFormat(f"The file's header is damaged: {error}") from error
    if width * height > max_pixels:
        raise PictureTooLarge(
            f"The picture has {width:,} × {height:,} pixels; at most {max_pixels / 1e6:g} megapixels are accepted."
        )
    if turned:
        width, height = height, width
    return Picture(hashlib.sha256(data).hexdigest(), media_type, width, height, len(data))


def check_size(size: int, max_bytes: float) -> None:
    """Raises `PictureTooLarge` for a file of `size` bytes that is over the limit."""
    if size > max_bytes:
        raise PictureTooLarge(f"The file has {size:,} bytes; at most {int(max_bytes):,} are accepted.")


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 if there is none or it can't be read."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except (OSError, ValueError, SyntaxError, TypeError):
        return 1
