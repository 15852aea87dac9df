"""Makes pictures' files that no library would write."""

import io
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

TURNS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""Orientation -> what stores an upright picture so that the orientation undoes it."""


def card(size: tuple[int, int] = (96, 64)) -> Image.Image:
    """An upright picture that looks different after every turn: red, green, blue and white quarters."""
    picture = Image.new("RGB", size, "white")
    pen, (width, height) = ImageDraw.Draw(picture), size
    pen.rectangle((0, 0, width // 2 - 1, height // 2 - 1), fill=(200, 30, 30))
    pen.rectangle((width // 2, 0, width, height // 2 - 1), fill=(30, 160, 60))
    pen.rectangle((0, height // 2, width // 2 - 1, height), fill=(40, 60, 200))
    return picture


def turned(picture: Image.Image, orientation: int) -> Image.Image:
    """The picture as it is stored with this orientation."""
    turn = TURNS[orientation]
    return picture if turn is None else picture.transpose(turn)


def saved(picture: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(png: bytes, kind: bytes, data: bytes, before: bytes = b"IDAT") -> bytes:
    at = png.index(before) - 4
    return png[:at] + chunk(kind, data) + png[at:]


def png_of(width: int, height: int, pixels: bytes, *, bits: int = 8, colour: int = 0, more: bytes = b"") -> bytes:
    """A PNG with these packed pixels; `more` are chunks in front of them."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + more + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def grey_png(samples: np.ndarray, bits: int, more: bytes = b"") -> bytes:
    """A grey PNG of 8 or 16 bits."""
    rows = b"".join(b"\0" + row.astype(">u2" if bits == 16 else np.uint8).tobytes() for row in samples)
    return png_of(samples.shape[1], samples.shape[0], rows, bits=bits, more=more)


def grey_tiff(samples: np.ndarray, *, photometric: int = 1, bits: int, kind: int = 1, **tags: int) -> bytes:
    """An uncompressed grey TIFF. `kind`: 1 unsigned, 2 signed, 3 float."""
    height, width = samples.shape
    data = samples.tobytes()
    values = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: height}
    values |= {279: len(data), 339: kind} | {int(name[1:]): value for name, value in tags.items()}
    return tiff(sorted((tag, 4, 1, struct.pack("<I", value)) for tag, value in values.items()), data)


def tiff(entries: Sequence[tuple[int, int, int, bytes]], data: bytes = b"") -> bytes:
    """A TIFF whose pixels lie at offset 8. `entries`: tag, type, count and four bytes."""
    at = 8 + len(data) + len(data) % 2
    packed = b"".join(
        struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0") for tag, kind, count, value in entries
    )
    return b"".join(
        [b"II*\0", struct.pack("<I", at), data, bytes(len(data) % 2), struct.pack("<H", len(entries)), packed, bytes(4)]
    )


def exif(*entries: tuple[int, int, int, bytes], order: str = "<", tail: bytes = b"", following: int = 0) -> bytes:
    """An EXIF block of raw entries: tag, type, count and four bytes. `tail` lies behind them."""
    out = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    for tag, kind, count, value in entries:
        out += struct.pack(order + "HHI", tag, kind, count) + value.ljust(4, b"\0")
    return b"Exif\0\0" + out + struct.pack(order + "I", following) + tail


def bombs() -> dict[str, bytes]:
    """Small files that take much memory or time to decode, or seem to."""
    scans = saved(card(), "JPEG", progressive=True)
    scan = scans[scans.rindex(b"\xff\xda") : -2]
    plain = saved(card(), "PNG")
    text = b"workflow\0\0" + zlib.compress(bytes(60_000_000))
    tile = np.zeros((100, 100), np.uint8)
    frames = [Image.new("L", (2000, 2000), shade) for shade in range(0, 250, 10)]
    return {
        "header.png": png_of(2**31 - 1, 1, b""),
        "empty.png": png_of(8, 60_000_000, b""),
        "blank-400.png": png_of(20_000, 20_000, bytes(20_001 * 20_000)),
        "text.png": with_chunk(plain, b"zTXt", text),
        "chunks.png": plain[:33] + chunk(b"prVt", b"") * 80_000 + plain[33:],
        "scans.jpg": scans[:-2] + scan * 1500 + b"\xff\xd9",
        "tile.tif": grey_tiff(tile, bits=8, _259=8, _322=16_000, _323=16_000, _324=8, _325=tile.nbytes),
        "frames.gif": saved(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "profile.jpg": saved(card(), "JPEG", icc_profile=bytes(600_000)),
        "float.tif": grey_tiff(tile.astype("<f4"), bits=32, kind=3),
    }
