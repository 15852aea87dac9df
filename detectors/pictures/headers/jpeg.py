"""JPEG: ITU-T T.81. Several pictures in one file (MPO, from phones) are a JPEG with others behind it."""

import re
import struct
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from detectors.errors import PictureTooCostly, PictureUnsupported
from detectors.pictures.exif import orientation
from detectors.pictures.headers.header import Header, counted, damaged

_SOS, _EOI, _APP0, _APP1, _APP14, _COM = 0xDA, 0xD9, 0xE0, 0xE1, 0xEE, 0xFE
# Start of frame, with the kind of coding in the lower four bits. C4, C8 and CC are other markers.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
# Markers without a segment.
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
MAX_SCANS = 100
"""A progressive picture has about ten scans. Each one costs time for every pixel, however few bytes it has."""
MAX_SCAN_PIXELS = 2_500_000_000
# A regular expression finds them three times as fast as `bytes.count`.
_SCAN_STARTS = re.compile(bytes([0xFF, _SOS]))
# A block of 64 samples takes at least one bit.
_MAX_PIXELS_A_BYTE = 512


class Segment(NamedTuple):
    marker: int
    at: int
    """Offset of the marker."""
    start: int
    """Offset of its data."""
    end: int


def read(data: bytes) -> Header:
    """The header; the first EXIF segment counts."""
    turn: int | None = None
    frame: Segment | None = None
    for segment in _segments(data):
        if segment.marker in _FRAMES and frame is None:
            frame = segment
        elif segment.marker == _APP1 and turn is None and data.startswith(b"Exif\0\0", segment.start):
            turn = orientation(memoryview(data)[segment.start : segment.end])
        elif segment.marker == _SOS:
            break
    else:
        raise damaged("the JPEG has no scan")
    if frame is None:
        raise damaged("the JPEG has no frame")
    bits, height, width, components = struct.unpack_from(">BHHB", data, frame.start)
    if bits != 8 or components not in (1, 3, 4) or frame.marker in _LOSSLESS:
        raise PictureUnsupported(
            f"A JPEG with {bits} bits a sample and {components} components is not read: save it as a JPEG with 8 bits."
            if frame.marker not in _LOSSLESS
            else "A lossless JPEG is not read: save it as an ordinary JPEG, or as a PNG."
        )
    pixels = width * height
    # libjpeg stops behind the first scan if that has all components in full.
    several = frame.marker in _PROGRESSIVE or data[segment.start] < components
    if several:
        require_few_scans(data, segment.at, pixels)
    return Header(
        "image/jpeg",
        width,
        height,
        turn or 1,
        # CMYK is decoded with four samples and then converted.
        bytes_a_pixel={1: 2, 3: 4, 4: 8}[components],
        # For several scans libjpeg keeps two bytes for each coefficient.
        fixed_bytes=2 * components * pixels if several else 0,
        cut_off=pixels > _MAX_PIXELS_A_BYTE * (len(data) - segment.at),
    )


def require_few_scans(data: bytes, start: int, pixels: int, parts: int = 1) -> None:
    """Raises `PictureTooCostly` if the scans from `start` on, each of `pixels` pixels, take too long to decode.

    `parts`: JPEGs that lie there one after the other.
    """
    most = min(MAX_SCANS, MAX_SCAN_PIXELS // max(1, pixels)) * parts
    # In coded data 0xFF is followed by zero or by the number of a restart, so these two bytes begin a scan.
    if any(islice(_SCAN_STARTS.finditer(data, start), most, None)):
        raise PictureTooCostly(
            f"The JPEG has more than {most:,} scans, which take too long to decode: save it again in another program."
        )


def essential(data: bytes) -> bytes:
    """Without the application's segments (EXIF, profiles, thumbnails) and comments. Those that tell how colours are
    coded are kept: JFIF and Adobe."""
    view = memoryview(data)
    parts: list[bytes | memoryview] = [b"\xff\xd8"]
    for marker, at, _, end in _segments(data):
        if marker == _SOS:
            parts.append(view[at:])
            break
        if marker in (_APP0, _APP14) or not (_APP0 <= marker <= 0xEF or marker == _COM):
            parts.append(view[at:end])
    return b"".join(parts)


def _segments(data: bytes) -> Iterator[Segment]:
    """The segments up to the first scan."""
    at = 2
    for _ in counted(data, "segments"):
        # Bytes between segments are skipped, as libjpeg does.
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            return
        marker = data[at + 1]
        if marker in (0x00, 0xFF):
            at += 1
            continue
        if marker in _ALONE:
            at += 2
            continue
        if marker == _EOI or at + 4 > len(data):
            return
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield Segment(marker, at, at + 4, end)
        at = end
