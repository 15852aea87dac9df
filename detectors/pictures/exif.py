"""Reads the orientation of a picture from its EXIF block, whatever else is wrong with that block.

Every reader of a picture takes the orientation from here. `detectors/runtimes/libtorch/picture.cpp` does the same.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

ORIENTATION = 0x0112
# No program writes more entries into one directory. Reading hostile ones stays quick.
MAX_ENTRIES = 1024
# TIFF 6.0, section 2: type -> how `struct` reads one value. ASCII and UNDEFINED are read as bytes.
_TYPES = {1: "B", 2: "c", 3: "H", 4: "I", 5: "II", 6: "b", 7: "B", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d", 13: "I"}
# BigTIFF adds 64-bit integers.
_BIG_TYPES = _TYPES | {16: "Q", 17: "q", 18: "Q"}
_ASCII, _RATIONALS = 2, (5, 10)
# What `struct` raises for an offset beyond the end; OverflowError if it has 64 bits.
_BEYOND = (struct.error, OverflowError)


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a TIFF directory."""

    tag: int
    type: int
    count: int
    at: int
    """Offset of its value in the block."""
    raw: bytes
    """The entry itself."""


@dataclass(frozen=True, slots=True)
class Directory:
    """The first directory of a TIFF block, as far as the block goes."""

    block: bytes | memoryview
    order: str
    """Byte order as `struct` writes it: `<` or `>`."""
    big: bool
    """BigTIFF."""
    start: int
    """Offset of the first entry."""
    entries: int
    """As many as the directory announces."""

    def __iter__(self) -> Iterator[Entry]:
        size, form = (20, "HHQ") if self.big else (12, "HHI")
        for at in range(
            self.start, min(self.start + min(self.entries, MAX_ENTRIES) * size, len(self.block) - size + 1), size
        ):
            tag, kind, count = struct.unpack_from(self.order + form, self.block, at)
            inline = at + (12 if self.big else 8)
            room = 8 if self.big else 4
            value = inline
            if count * struct.calcsize("=" + self.types.get(kind, "B")) > room:
                (value,) = struct.unpack_from(self.order + ("Q" if self.big else "I"), self.block, inline)
            yield Entry(tag, kind, count, value, bytes(self.block[at : at + size]))

    @property
    def types(self) -> dict[int, str]:
        return _BIG_TYPES if self.big else _TYPES

    def numbers(self, entry: Entry, most: int) -> list[int]:
        """The first `most` values of an entry that are whole numbers; empty if its type is none of numbers, or if they
        lie beyond the end of the block."""
        form = self.types.get(entry.type)
        if form is None:
            return []
        count = min(entry.count, most)
        try:
            values = struct.unpack_from(self.order + form * count, self.block, entry.at)
        except _BEYOND:
            return []
        if entry.type == _ASCII:
            text = b"".join(values).split(b"\0")[0].strip()
            return [int(text)] if text.isdigit() else []
        if entry.type in _RATIONALS:
            values = tuple(a / b if b else math.nan for a, b in zip(values[::2], values[1::2], strict=True))
        return [int(value) for value in values if math.isfinite(value) and value == int(value)]


def first_directory(block: bytes | memoryview) -> Directory | None:
    """The first directory of a TIFF block; None if the block is no TIFF."""
    order = {b"II": "<", b"MM": ">"}.get(bytes(block[:2]))
    if order is None or len(block) < 8:
        return None
    (magic,) = struct.unpack_from(order + "H", block, 2)
    try:
        if magic == 42:
            (at,) = struct.unpack_from(order + "I", block, 4)
            (count,) = struct.unpack_from(order + "H", block, at)
            return Directory(block, order, False, at + 2, count)
        if magic == 43:
            (at,) = struct.unpack_from(order + "Q", block, 8)
            (count,) = struct.unpack_from(order + "Q", block, at)
            return Directory(block, order, True, at + 8, count)
    except _BEYOND:
        pass
    return None


def orientation(block: bytes | memoryview) -> int:
    """The orientation in an EXIF block, which is a TIFF block with or without `Exif\\0\\0` in front: 1 to 8; 1 if there
    is none, or if it can't be read.

    Cameras and editors write it in any type, and other tags in any shape. So only this tag is read, its first value in
    whatever type, and of several such tags the last one with a valid value counts.
    """
    if block[:6] == b"Exif\0\0":
        block = block[6:]
    directory = first_directory(block)
    found = 1
    for entry in directory or ():
        if entry.tag == ORIENTATION:
            # Eight digits of text are more than enough for one.
            values = directory.numbers(entry, 8 if entry.type == _ASCII else 1)  # type: ignore[union-attr]
            if values and 1 <= values[0] <= 8:
                found = values[0]
    return found
