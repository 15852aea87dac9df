import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detectors.errors import PictureTooCostly, PictureUnknownFormat, PictureUnsupported
from detectors.pictures.headers import read_header
from detectors.pictures.headers.jpeg import MAX_SCANS
from tests.picture_files import (
    card,
    chunk,
    exif,
    grey_png,
    grey_tiff,
    png_of,
    saved,
    tiff,
    turned,
    with_chunk,
)

GREY = np.full((4, 6), 100, np.uint8)


@pytest.mark.parametrize(
    ("form", "mode"),
    [
        ("JPEG", "RGB"),
        ("JPEG", "L"),
        ("JPEG", "CMYK"),
        ("PNG", "RGB"),
        ("PNG", "RGBA"),
        ("PNG", "P"),
        ("PNG", "1"),
        ("WEBP", "RGB"),
        ("WEBP", "RGBA"),
        ("BMP", "RGB"),
        ("BMP", "P"),
        ("GIF", "P"),
        ("TIFF", "RGB"),
        ("TIFF", "1"),
        ("AVIF", "RGB"),
        ("AVIF", "RGBA"),
    ],
)
def test_type_and_size_are_read_in_every_format(form: str, mode: str) -> None:
    header = read_header(saved(card().convert(mode), form))

    assert (header.media_type, header.width, header.height) == (f"image/{form.lower()}", 96, 64)
    assert header.orientation == 1


@pytest.mark.parametrize("options", [{"progressive": True}, {"quality": 100, "subsampling": 0}, {"lossless": True}])
def test_other_kinds_of_a_format_are_read(options: dict[str, object]) -> None:
    form = "WEBP" if "lossless" in options else "JPEG"

    header = read_header(saved(card((97, 63)), form, **options))

    assert (header.width, header.height) == (97, 63)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_the_size_is_that_of_the_upright_picture(form: str, orientation: int) -> None:
    tag = Image.Exif()
    tag[0x0112] = orientation

    header = read_header(saved(turned(card(), orientation), form, exif=tag))

    assert (header.width, header.height, header.orientation) == (96, 64, orientation)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_heic_picture_has_the_size_that_its_own_boxes_tell(orientation: int, heic: Path) -> None:
    header = read_header((heic / f"turn{orientation}.heic").read_bytes())

    assert (header.media_type, header.width, header.height) == ("image/heic", 96, 64)


@pytest.mark.parametrize("where", [b"IDAT", b"IEND"])
def test_the_first_exif_of_a_png_counts_before_and_behind_the_pixels(where: bytes) -> None:
    six, one = (exif((0x0112, 3, 1, struct.pack("<H", turn)))[6:] for turn in (6, 1))
    png = with_chunk(with_chunk(saved(card(), "PNG"), b"eXIf", six, where), b"eXIf", one, b"IEND")

    assert read_header(png).orientation == 6


def test_a_frame_beyond_the_screen_of_a_gif_makes_it_larger() -> None:
    gif = bytearray(saved(card(), "GIF"))
    gif[6:10] = struct.pack("<HH", 10, 10)

    assert (read_header(bytes(gif)).width, read_header(bytes(gif)).height) == (96, 64)


def test_a_bitmap_may_be_upside_down() -> None:
    bitmap = bytearray(saved(card(), "BMP"))
    bitmap[22:26] = struct.pack("<i", -64)

    assert read_header(bytes(bitmap)).height == 64


@pytest.mark.parametrize(
    "data",
    [
        b"just text",
        b"BM, what a letter begins with",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xd9",
        b"\x89PNG\r\n\x1a\n",
        b"II*\0",
        b"II*\0\x08\0\0\0",
        b"GIF89a",
        b"RIFF\x0c\0\0\0WEBP",
        b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0",
        b"\0\0\0\x18ftypavif\0\0\0\0avifmif1",
        b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic",
        png_of(0, 4, b""),
        png_of(4, 4, b"", bits=3),
        tiff([(256, 4, 1, b"\4"), (257, 2, 1, b"\0")]),
    ],
)
def test_a_header_that_cannot_be_read_is_refused(data: bytes) -> None:
    with pytest.raises(PictureUnknownFormat):
        read_header(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (grey_tiff(GREY.astype("<f4"), bits=32, kind=3), "floating-point"),
        (grey_tiff(GREY.astype("<f8"), bits=64, kind=3), "floating-point"),
        (grey_tiff(GREY.astype("<i2"), bits=16, kind=2), "signed"),
        (grey_tiff(GREY.astype("<i4"), bits=32, kind=2), "signed"),
        (grey_tiff(GREY.astype("<u4"), bits=32), "32 bits"),
        (grey_tiff(GREY, bits=8, photometric=8), "colour space"),
        (grey_tiff(GREY, bits=8, _259=34676), "compression"),
        (grey_tiff(GREY, bits=8, _254=1), "thumbnail"),
        (grey_tiff(GREY, bits=8, _50706=0x0401), "raw data of a camera"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(4) + tiff([(256, 4, 1, b"\4")])[8:], "raw data of a camera"),
        (saved(card(), "JPEG").replace(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c"), "12 bits"),
        (saved(card(), "JPEG").replace(b"\xff\xc0", b"\xff\xc3"), "lossless"),
        (png_of(4, 4, b"", bits=16, colour=2, more=chunk(b"tRNS", bytes(6))), "transparent colour"),
        (saved(card(), "BMP")[:30] + b"\4" + saved(card(), "BMP")[31:], "compression 4"),
    ],
)
def test_what_has_no_known_meaning_is_refused_and_not_guessed(data: bytes, message: str) -> None:
    with pytest.raises(PictureUnsupported, match=message):
        read_header(data)


def progressive(scans: int) -> bytes:
    whole = saved(card(), "JPEG", progressive=True)
    at = whole.rindex(b"\xff\xda")
    return whole[:at] + whole[at:-2] * scans + b"\xff\xd9"


@pytest.mark.parametrize(
    "data",
    [
        progressive(MAX_SCANS),
        with_chunk(saved(card(), "PNG"), b"prVt", b"").replace(chunk(b"prVt", b""), chunk(b"prVt", b"") * 100_000),
        saved(card(), "JPEG")[:2] + b"\xff\xfe\0\2" * 100_000 + saved(card(), "JPEG")[2:],
        saved(card(), "WEBP")[:12] + b"ABCD\0\0\0\0" * 100_000 + saved(card(), "WEBP")[12:],
        saved(card(), "BMP")[:30] + b"\1" + bytes(5_000_000),
    ],
    ids=["scans", "chunks", "comments", "WebP's chunks", "run lengths"],
)
def test_a_file_that_takes_long_to_read_or_decode_is_refused(data: bytes) -> None:
    with pytest.raises(PictureTooCostly):
        read_header(data)


def test_a_progressive_picture_of_usual_scans_is_taken() -> None:
    assert read_header(progressive(20)).width == 96


def tiled(tile: int) -> bytes:
    return grey_tiff(GREY, bits=8, _322=tile, _323=tile, _324=8, _325=GREY.nbytes, _259=8)


def test_a_tile_that_is_much_larger_than_its_picture_is_refused() -> None:
    with pytest.raises(PictureTooCostly, match="tiles"):
        read_header(tiled(16_000))

    assert read_header(tiled(2048)).memory_bytes() > 2048 * 2048


def test_a_file_that_is_too_short_for_its_pixels_is_known_as_cut_off() -> None:
    assert read_header(png_of(20_000, 5_000, bytes(1000))).cut_off
    assert not read_header(png_of(5_000, 5_000, bytes(5_001 * 5_000))).cut_off


def test_looking_takes_hardly_any_memory() -> None:
    data = with_chunk(saved(card(), "PNG"), b"zTXt", b"workflow\0\0" + zlib.compress(bytes(50_000_000)))
    tracemalloc.start()

    read_header(data)

    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_the_bits_of_grey_are_known() -> None:
    assert read_header(grey_png(GREY.astype(np.uint16), 16)).grey_bits == 16
    assert read_header(grey_tiff(GREY, bits=8)).grey_bits == 8


def test_a_tiff_whose_directory_is_beyond_the_end_of_64_bits_is_damaged() -> None:
    with pytest.raises(PictureUnknownFormat):
        read_header(b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**64 - 1) + bytes(40))
