"""HEIC and AVIF: boxes of ISO/IEC 14496-12 with the items of ISO/IEC 23008-12.

The primary item is the picture. Its orientation is in boxes of its own, and EXIF does not count.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from detectors.pictures.headers.header import Header, counted, damaged
from detectors.pictures.signatures import HEAD_BYTES, media_type_of

# The planes of the codec, with 16 bits in some, the converted picture, a copy for Python, and Pillow's.
_BYTES_A_PIXEL = 20
# irot: quarter turns to the left -> the same as an orientation of EXIF.
_TURNS = {0: 1, 1: 8, 2: 3, 3: 6}
# The same after imir with axis 0 (top to bottom) and 1 (left to right), which comes after irot.
_MIRRORED = {0: {1: 4, 8: 5, 3: 2, 6: 7}, 1: {1: 2, 8: 7, 3: 4, 6: 5}}


class Box(NamedTuple):
    kind: bytes
    start: int
    """Offset of its content."""
    end: int


def read(data: bytes) -> Header:
    """The header. Of a HEIC picture libheif turns the pixels and cuts them to their frame itself."""
    media_type = media_type_of(data[:HEAD_BYTES]) or ""
    meta = _only(data, 0, len(data), b"meta")
    properties = _properties(data, meta)
    size: tuple[int, int] | None = None
    turn = 1
    for kind, start, end in properties:
        if kind == b"ispe":
            size = struct.unpack_from(">II", data, start + 4)
        elif kind == b"clap" and size and media_type == "image/heic":
            size = _frame(data, start, size)
        elif kind == b"irot":
            turn = _TURNS[data[start] & 3]
            if media_type == "image/heic" and data[start] & 1 and size:
                size = size[::-1]
        elif kind == b"imir" and end > start:
            turn = _MIRRORED[data[start] & 1][turn]
    if size is None:
        raise damaged("the picture has no size")
    orientation = turn if media_type == "image/avif" else 1
    return Header(media_type, size[0], size[1], orientation, bytes_a_pixel=_BYTES_A_PIXEL)


def essential(data: bytes) -> bytes:
    """The file with its references to metadata and thumbnails renamed, so that no decoder follows them.

    The file keeps its size, because other boxes have offsets in it.
    """
    meta = _only(data, 0, len(data), b"meta")
    made = bytearray(data)
    for table in _boxes(data, meta.start + 4, meta.end):
        if table.kind == b"iref":
            for reference in _boxes(data, table.start + 4, table.end):
                if reference.kind in (b"cdsc", b"thmb"):
                    made[reference.start - 4 : reference.start] = b"free"
    return bytes(made)


def _boxes(data: bytes, at: int, end: int) -> Iterator[Box]:
    for _ in counted(data, "boxes"):
        if at + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        # Zero: up to the end of the file.
        stop = min(at + size, end) if size else end
        if stop < at + head:
            raise damaged("a box is too short")
        yield Box(kind, at + head, stop)
        at = stop


def _only(data: bytes, start: int, end: int, kind: bytes) -> Box:
    for box in _boxes(data, start, end):
        if box.kind == kind:
            return box
    raise damaged(f"it has no box {kind.decode()}")


def _properties(data: bytes, meta: Box) -> list[Box]:
    """The properties of the primary item, in their order."""
    # `meta` and `pitm` begin with a version and flags.
    start = meta.start + 4
    primary = _only(data, start, meta.end, b"pitm")
    item = int.from_bytes(data[primary.start + 4 : primary.start + (8 if data[primary.start] else 6)], "big")
    table = _only(data, start, meta.end, b"iprp")
    known = list(_boxes(data, *_only(data, table.start, table.end, b"ipco")[1:]))
    return [known[n - 1] for n in _associations(data, _only(data, table.start, table.end, b"ipma"), item) if n]


def _associations(data: bytes, box: Box, item: int) -> list[int]:
    """Numbers of the properties of an item, from one; zero means none."""
    version, flags = data[box.start], data[box.start + 3]
    (entries,) = struct.unpack_from(">I", data, box.start + 4)
    at, id_bytes, index_bytes = box.start + 8, 2 if version < 1 else 4, 2 if flags & 1 else 1
    # The highest bit says that the property is essential.
    mask = 0x7FFF if flags & 1 else 0x7F
    for entry in counted(data, "items"):
        if entry >= entries or at + id_bytes >= box.end:
            break
        found, count = int.from_bytes(data[at : at + id_bytes], "big"), data[at + id_bytes]
        at += id_bytes + 1
        if found == item:
            return [
                int.from_bytes(data[place : place + index_bytes], "big") & mask
                for place in range(at, at + count * index_bytes, index_bytes)
            ]
        at += count * index_bytes
    raise damaged("the primary item has no properties")


def _frame(data: bytes, start: int, size: tuple[int, int]) -> tuple[int, int]:
    """The size after the box `clap` (clean aperture): two fractions, of the width and of the height."""
    width, below_width, height, below_height = struct.unpack_from(">IIII", data, start)
    if not below_width or not below_height:
        raise damaged("its frame has no size")
    return min(size[0], round(width / below_width)), min(size[1], round(height / below_height))
