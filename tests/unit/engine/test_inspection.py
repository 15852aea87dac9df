import hashlib
import io
import struct
import zlib

import pytest
from PIL import Image

from engine.inspection import inspect
from jobs.errors import PictureEmpty, PictureTooLarge, PictureUnknownFormat
from jobs.records import Picture


def inspected(data: bytes, **limits: float) -> Picture:
    return inspect(data, **{"max_bytes": 1e6, "max_pixels": 1e6, **limits})


def encoded(kind: str, size: tuple[int, int] = (40, 20), **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, "teal").save(file, kind, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and has hardly any pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [
        ("JPEG", "image/jpeg"),
        ("PNG", "image/png"),
        ("WEBP", "image/webp"),
        ("BMP", "image/bmp"),
        ("GIF", "image/gif"),
        ("TIFF", "image/tiff"),
    ],
)
def test_formats_are_recognised_by_their_content(kind: str, media_type: str) -> None:
    picture = inspected(encoded(kind))

    assert (picture.media_type, picture.width, picture.height) == (media_type, 40, 20)
    assert picture.size == len(encoded(kind))


def test_a_quarter_turn_swaps_width_and_height() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6

    picture = inspected(encoded("JPEG", exif=exif))

    assert (picture.width, picture.height) == (20, 40)


def test_the_digest_covers_all_bytes_of_a_picture() -> None:
    data = encoded("BMP", (400, 300))
    other = data[:-1] + b"\0"

    assert [inspected(each).sha256 for each in (data, other)] == [
        hashlib.sha256(each).hexdigest() for each in (data, other)
    ]


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(PictureEmpty):
        inspected(b"")


@pytest.mark.parametrize(
    "data", [b"just text, whatever its name says", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0"]
)
def test_a_file_that_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(PictureUnknownFormat):
        inspected(data)


def test_a_picture_of_too_many_pixels_is_refused_by_its_header() -> None:
    with pytest.raises(PictureTooLarge, match=r"30,000 × 30,000"):
        inspected(png_header(30_000, 30_000))


def test_a_file_of_too_many_bytes_is_refused() -> None:
    with pytest.raises(PictureTooLarge):
        inspected(encoded("BMP"), max_bytes=100)
