"""Reads the header of a picture in any format that is taken."""

import struct
from collections.abc import Callable, Mapping
from types import ModuleType

from detectors.errors import PictureUnknownFormat
from detectors.pictures.headers import bmp, gif, iso, jpeg, png, tiff, webp
from detectors.pictures.headers.header import Header, damaged
from detectors.pictures.signatures import HEAD_BYTES, media_type_of

_READERS: Mapping[str, ModuleType] = {
    "image/jpeg": jpeg,
    "image/png": png,
    "image/webp": webp,
    "image/bmp": bmp,
    "image/gif": gif,
    "image/tiff": tiff,
    "image/heic": iso,
    "image/avif": iso,
}
MEDIA_TYPES = tuple(_READERS)
"""The media types of the pictures that are taken."""
FORMAT_NAMES = "JPEG, PNG, WebP, BMP, GIF, TIFF, HEIC and AVIF"


def read_header(data: bytes) -> Header:
    """Reads the structure of a picture's file and no pixel: in at most 2 ms and 1 ms a megabyte.

    Raises `PictureUnknownFormat`, `PictureUnsupported` or `PictureTooCostly`.
    """
    media_type = media_type_of(data[:HEAD_BYTES])
    if media_type is None:
        raise PictureUnknownFormat(f"The file is not a picture of a known format. Known formats are {FORMAT_NAMES}.")
    try:
        header: Header = _READERS[media_type].read(data)
    except (IndexError, struct.error) as error:
        raise damaged("it is cut off") from error
    if header.stored_width < 1 or header.stored_height < 1:
        raise damaged("the picture has no pixels")
    return header


def essential(data: bytes, header: Header) -> bytes:
    """The file without all that makes no pixels: text, colour profiles, EXIF, thumbnails, further frames.

    Decoders read such parts too, and may fail on them or take long.
    """
    reduce: Callable[[bytes], bytes] | None = getattr(_READERS[header.media_type], "essential", None)
    return reduce(data) if reduce else data
