"""WebP: https://developers.google.com/speed/webp/docs/riff_container."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from detectors.pictures.exif import orientation
from detectors.pictures.headers.header import Header, counted, damaged

_EXTENDED_BYTES = 10
# Flags of the chunk VP8X for what `essential` leaves out: colour profile, EXIF, XMP.
_LEFT_OUT_FLAGS = 0x20 | 0x08 | 0x04
# libwebp keeps two canvases of four bytes, Python a copy, and Pillow the picture, which is then put on white.
_BYTES_A_PIXEL = 20


class Chunk(NamedTuple):
    kind: bytes
    at: int
    """Offset of its name."""
    start: int
    """Offset of its data."""
    end: int


def read(data: bytes) -> Header:
    """The header; the first EXIF chunk counts, wherever it is."""
    size: tuple[int, int] | None = None
    turn: int | None = None
    for chunk in _chunks(data):
        if size is None and chunk.kind in (b"VP8X", b"VP8 ", b"VP8L"):
            size = _size(data, chunk)
        elif chunk.kind == b"EXIF" and turn is None:
            turn = orientation(memoryview(data)[chunk.start : chunk.end])
    if size is None:
        raise damaged("the WebP has no picture")
    return Header("image/webp", size[0], size[1], turn or 1, bytes_a_pixel=_BYTES_A_PIXEL)


def essential(data: bytes) -> bytes:
    """The first frame, without profiles, EXIF and XMP."""
    view, frames = memoryview(data), 0
    parts: list[bytes | memoryview] = []
    for kind, at, start, end in _chunks(data):
        if kind == b"VP8X" and end - start >= _EXTENDED_BYTES:
            parts += [view[at:start], bytes([data[start] & ~_LEFT_OUT_FLAGS]), view[start + 1 : end]]
        elif kind in (b"VP8 ", b"VP8L", b"ALPH", b"ANIM") or (kind == b"ANMF" and not frames):
            parts += [view[at:end], b"\0" * ((end - start) % 2)]
        frames += kind == b"ANMF"
    body = b"".join([b"WEBP", *parts])
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _chunks(data: bytes) -> Iterator[Chunk]:
    """The chunks of the file. The last one may be cut off."""
    at = 12
    for _ in counted(data, "chunks"):
        if at + 8 > len(data):
            return
        (size,) = struct.unpack_from("<I", data, at + 4)
        yield Chunk(data[at : at + 4], at, at + 8, min(at + 8 + size, len(data)))
        at += 8 + size + size % 2


def _size(data: bytes, chunk: Chunk) -> tuple[int, int]:
    kind, _, start, _ = chunk
    if kind == b"VP8X":
        # Four bytes of flags, then 24 bits each of width - 1 and height - 1.
        low_width, high_width, low_height, high_height = struct.unpack_from("<HBHB", data, start + 4)
        return (high_width << 16 | low_width) + 1, (high_height << 16 | low_height) + 1
    if kind == b"VP8L":
        # One byte of signature, then 14 bits each of width - 1 and height - 1.
        (bits,) = struct.unpack_from("<I", data, start + 1)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    # RFC 6386, 9.1: three bytes of tag, three of start code, then 14 bits each with two bits of scaling.
    width, height = struct.unpack_from("<HH", data, start + 6)
    return width & 0x3FFF, height & 0x3FFF
