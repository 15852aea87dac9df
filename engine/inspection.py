"""Reads a picture's header, before anything is decoded: its type, its size, and whether it is accepted."""

import hashlib

from detectors import errors as detector_errors
from detectors.pictures.headers import read_header
from jobs.errors import PictureEmpty, PictureTooCostly, PictureTooLarge, PictureUnknownFormat, PictureUnsupported
from jobs.records import Picture

# Decoding may take this many bytes for each pixel of the limit. Ordinary pictures take fewer than this; a small picture
# whose file makes the decoder take more than the largest ordinary one is refused.
MAX_BYTES_A_PIXEL = 20

_REFUSALS = {
    detector_errors.PictureUnknownFormat: PictureUnknownFormat,
    detector_errors.PictureUnsupported: PictureUnsupported,
    detector_errors.PictureTooCostly: PictureTooCostly,
}


def inspect(data: bytes, *, max_bytes: float, max_pixels: float) -> Picture:
    """Reads the structure of the file only, and decodes nothing.

    Raises `PictureEmpty`, `PictureUnknownFormat`, `PictureUnsupported`, `PictureTooLarge` past `max_bytes` or
    `max_pixels`, or `PictureTooCostly` if decoding would take too much memory or time.
    """
    if not data:
        raise PictureEmpty("The file is empty.")
    check_size(len(data), max_bytes)
    try:
        header = read_header(data)
    except tuple(_REFUSALS) as error:
        raise _REFUSALS[type(error)](str(error)) from error
    width, height = header.stored_width, header.stored_height
    if width * height > max_pixels:
        raise PictureTooLarge(
            f"The picture has {width:,} × {height:,} pixels; at most {max_pixels / 1e6:g} megapixels are accepted."
        )
    if header.memory_bytes() > MAX_BYTES_A_PIXEL * max_pixels:
        raise PictureTooCostly(
            f"Decoding the picture would take {header.memory_bytes() / 1e9:,.1f} GB of memory: save it again in "
            "another program."
        )
    return Picture(hashlib.sha256(data).hexdigest(), header.media_type, header.width, header.height, len(data))


def check_size(size: int, max_bytes: float) -> None:
    """Raises `PictureTooLarge` for a file of `size` bytes that is over the limit."""
    if size > max_bytes:
        raise PictureTooLarge(f"The file has {size:,} bytes; at most {int(max_bytes):,} are accepted.")
