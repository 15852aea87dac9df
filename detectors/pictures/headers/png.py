"""PNG: https://www.w3.org/TR/png-3/."""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from detectors.errors import PictureUnsupported
from detectors.pictures.exif import orientation
from detectors.pictures.headers.header import Header, counted, damaged

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6
# Colour type -> the bits that a sample may have, and the samples of a pixel.
_DEPTHS = {
    _GREY: ((1, 2, 4, 8, 16), 1),
    _RGB: ((8, 16), 3),
    _PALETTE: ((1, 2, 4, 8), 1),
    _GREY_ALPHA: ((8, 16), 2),
    _RGBA: ((8, 16), 4),
}
# Deflate writes at least one bit for 258 bytes, and two for a repetition: https://zlib.net/zlib_tech.html.
_MAX_EXPANSION = 1032


class Chunk(NamedTuple):
    kind: bytes
    start: int
    """Offset of its data."""
    size: int


def read(data: bytes) -> Header:
    """The header; the first eXIf chunk counts, wherever it is."""
    width, height, bits, colour = _image_header(data)
    turn, key, packed = None, None, 0
    for kind, start, size in _chunks(data):
        if kind == b"IDAT":
            packed += size
        elif kind == b"eXIf" and turn is None:
            turn = orientation(memoryview(data)[start : start + size])
        elif kind == b"tRNS" and not packed and _fits(colour, size):
            key = data[start : start + size]
    if key and colour == _RGB and bits == 16:
        raise PictureUnsupported(
            "The PNG has 16 bits a sample and one transparent colour (tRNS), which is not read: save it with 8 bits."
        )
    row = (width * bits * _DEPTHS[colour][1] + 7) // 8
    return Header(
        "image/png",
        width,
        height,
        turn or 1,
        bytes_a_pixel=_bytes_a_pixel(colour, bits, key),
        cut_off=row * height > packed * _MAX_EXPANSION,
        grey_bits=bits if colour == _GREY else 8,
        # Of the 16 bits that the chunk has, only as many count as a sample has.
        transparent_grey=int.from_bytes(key, "big") % 2**bits if key and colour == _GREY else None,
    )


def essential(data: bytes) -> bytes:
    """The chunks that make the pixels of the first frame. The transparent value of a grey picture is left out: the
    header has it, and Pillow compares it with samples that it has scaled."""
    colour = data[25]
    view, has_pixels = memoryview(data), False
    parts: list[bytes | memoryview] = [SIGNATURE]
    for kind, start, size in _chunks(data):
        if kind == b"tRNS" and (has_pixels or colour == _GREY or not _fits(colour, size)):
            continue
        if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT"):
            parts.append(view[start - 8 : start + size + 4])
        has_pixels |= kind == b"IDAT"
    end = b"IEND"
    return b"".join([*parts, struct.pack(">I", 0), end, struct.pack(">I", zlib.crc32(end))])


def _image_header(data: bytes) -> tuple[int, int, int, int]:
    """Width, height, bits of a sample and colour type. Raises `PictureUnknownFormat`."""
    if data[12:16] != b"IHDR" or len(data) < 33:
        raise damaged("it is cut off" if len(data) < 33 else "its first chunk is not IHDR")
    width, height, bits, colour = struct.unpack_from(">IIBB", data, 16)
    if bits not in _DEPTHS.get(colour, ((), 0))[0]:
        raise damaged(f"a PNG has no colour type {colour} with {bits} bits")
    if max(width, height) >= 2**31:
        raise damaged("its width or height is out of range")
    return width, height, bits, colour


def _chunks(data: bytes) -> Iterator[Chunk]:
    """The chunks of the file up to IEND. The last one may be cut off."""
    at = len(SIGNATURE)
    for _ in counted(data, "chunks"):
        if at + 8 > len(data):
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        yield Chunk(kind, start, min(size, len(data) - start))
        if kind == b"IEND":
            return
        at = start + size + 4


def _fits(colour: int, size: int) -> bool:
    """Whether a tRNS chunk has the size that it must have for this colour type."""
    return size == 2 if colour == _GREY else size == 6 if colour == _RGB else colour == _PALETTE and 1 <= size <= 256


def _bytes_a_pixel(colour: int, bits: int, key: bytes | None) -> int:
    if colour == _GREY:
        # 16 bits: Pillow's two bytes, as bytes, the high ones and the made picture; with a transparent value 32-bit
        # samples beside them.
        return (2 if bits <= 8 else 6) + (8 if key else 0)
    return {_RGB: 4, _PALETTE: 5}.get(colour, 8) + (4 if key else 0)
