"""GIF: https://www.w3.org/Graphics/GIF/spec-gif89a.txt."""

import struct

from detectors.pictures.headers.header import Header, counted, damaged

_IMAGE, _EXTENSION, _CONTROL = 0x2C, 0x21, 0xF9
_SCREEN_END = 13
# A block has at most 256 bytes.
_BLOCK_BYTES = 128


def read(data: bytes) -> Header:
    """The header. A frame beyond the edge of the screen makes the picture larger, as in Pillow."""
    _, at, width, height = _first_frame(data)
    left, top, frame_width, frame_height = struct.unpack_from("<HHHH", data, at + 1)
    return Header(
        "image/gif",
        max(width, left + frame_width),
        max(height, top + frame_height),
        # Palette indices, and RGBA to put transparent pixels on white.
        bytes_a_pixel=9,
    )


def essential(data: bytes) -> bytes:
    """Without the comments and the application's blocks in front of the first frame."""
    control, at, _, _ = _first_frame(data)
    start = _SCREEN_END + _table_bytes(data[10])
    view = memoryview(data)
    return b"".join([view[:start], control, view[at:]])


def _first_frame(data: bytes) -> tuple[bytes, int, int, int]:
    """The block that tells the transparent colour of the first frame, empty if there is none; the offset of the frame;
    and the width and height of the screen."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at, control = _SCREEN_END + _table_bytes(flags), b""
    for _ in counted(data, "blocks", _BLOCK_BYTES):
        kind = data[at]
        if kind == _IMAGE:
            if at + 10 > len(data):
                raise damaged("it is cut off")
            return control, at, width, height
        if kind != _EXTENSION:
            # Pillow skips what it does not know.
            at += 1
            continue
        start, is_control = at, data[at + 1] == _CONTROL
        at += 2
        for _ in counted(data, "blocks", _BLOCK_BYTES):
            size = data[at]
            at += 1 + size
            if size == 0:
                break
        if is_control:
            control = data[start:at]
    raise AssertionError("`counted` raises")


def _table_bytes(flags: int) -> int:
    """Bytes of a colour table."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
