"""What bytes become: pixels. `test_preprocess.py` has what pixels become: a tensor."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from detectors.catalogue import Input
from detectors.errors import PictureTooCostly, PictureUndecodable, PictureUnsupported
from detectors.pictures.decode import decode
from detectors.pictures.drawing import annotate
from tests.picture_files import (
    card,
    chunk,
    exif,
    grey_png,
    grey_tiff,
    png_of,
    saved,
    turned,
    with_chunk,
)

SMALL = Input(width=64, height=64)
# Large enough to be drawn as it is.
CARD = card((360, 240))
# Every grey of 8 bits, in every depth that has it.
GREYS = np.arange(256).reshape(8, 32).repeat(16, axis=0).repeat(10, axis=1)
TEXT = b"workflow\0\0" + zlib.compress(b'{"id": 1, "type": "Sampler"},' * 70_000)
PROFILE = b"printer\0\0" + zlib.compress(bytes(range(256)) * 6000)


def off(data: bytes, right: npt.ArrayLike = CARD) -> float:
    """The mean difference to the right pixels, for the model and for the drawn picture."""
    seen = decode(data).pixels
    drawn = np.asarray(Image.open(io.BytesIO(annotate(data, [])[0])).convert("RGB").resize(seen.shape[1::-1]))
    assert seen.shape == np.shape(right)
    return float(max(np.abs(pixels.astype(int) - np.asarray(right)).mean() for pixels in (seen, drawn)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("AVIF", {"quality": 95}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "jpeg", "quality": 95}),
    ],
)
def test_a_picture_is_turned_once(form: str, options: dict[str, object], orientation: int) -> None:
    tag = Image.Exif()
    tag[0x0112] = orientation

    assert off(saved(turned(CARD, orientation), form, exif=tag, **options)) < 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_heic_picture_is_turned_by_its_own_boxes(orientation: int, heic: Path) -> None:
    assert off((heic / f"turn{orientation}.heic").read_bytes(), card((96, 64))) < 6


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "block",
    [
        exif((0x0112, 3, 1, struct.pack("<H", 6)), (305, 5, 1, struct.pack("<I", 38)), tail=struct.pack("<II", 1, 2)),
        exif((256, 2, 4, b"300\0"), (0x0112, 2, 2, b"6\0")),
        exif((0x0112, 5, 1, struct.pack("<I", 26)), tail=struct.pack("<II", 6, 1)),
    ],
    ids=["software as a rational", "orientation as text", "orientation as a rational"],
)
def test_mistyped_exif_does_not_matter(form: str, block: bytes) -> None:
    options = {"quality": 95} if form == "JPEG" else {"lossless": True} if form == "WEBP" else {}

    assert off(saved(turned(CARD, 6), form, exif=block, **options)) < 6


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_exif_that_is_no_tiff_does_not_matter(form: str) -> None:
    assert off(saved(CARD, form, exif=b"Exif\0\0hello", **({"lossless": True} if form == "WEBP" else {}))) < 1


@pytest.mark.parametrize(
    ("kind", "data", "before"),
    [
        (b"zTXt", TEXT, b"IDAT"),
        (b"zTXt", TEXT, b"IEND"),
        (b"zTXt", b"workflow\0\0not zlib", b"IDAT"),
        (b"iTXt", b"workflow\0\1\0\0\0" + TEXT[10:], b"IDAT"),
        (b"tEXt", b"workflow\0" + b"x" * 2_000_000, b"IDAT"),
        (b"iCCP", PROFILE, b"IDAT"),
        (b"iCCP", b"printer\0\0not zlib", b"IDAT"),
        (b"iCCP", b"printer", b"IDAT"),
        (b"gAMA", b"\0", b"IDAT"),
        (b"cHRM", b"\0\0", b"IDAT"),
        (b"pHYs", bytes(9), b"IDAT"),
        (b"pHYs", b"\0", b"IDAT"),
        (b"sRGB", b"", b"IDAT"),
        (b"tRNS", b"\0", b"IDAT"),
        (b"acTL", bytes(8), b"IDAT"),
        (b"acTL", struct.pack(">II", 2, 0), b"IDAT"),
        (b"ABCD", b"x", b"IDAT"),
        (b"prVt", bytes(3_000_000), b"IDAT"),
    ],
)
def test_what_stands_beside_the_pixels_of_a_png_does_not_matter(kind: bytes, data: bytes, before: bytes) -> None:
    assert off(with_chunk(saved(CARD, "PNG"), kind, data, before)) == 0


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("JPEG", {"dpi": (0, 0)}),
        ("JPEG", {"icc_profile": bytes(range(256)) * 6000}),
        ("JPEG", {"comment": b"x" * 60_000}),
        ("JPEG", {"restart_marker_blocks": 1}),
        ("WEBP", {"lossless": True, "icc_profile": b"no profile"}),
        ("TIFF", {"dpi": (0, 0)}),
    ],
)
def test_what_stands_beside_the_pixels_of_other_formats_does_not_matter(form: str, options: dict[str, object]) -> None:
    assert off(saved(CARD, form, **({"quality": 95} if form == "JPEG" else {}), **options)) < 6


@pytest.mark.parametrize(
    "data",
    [
        grey_png(GREYS, 8),
        grey_png(GREYS * 257, 16),
        grey_tiff(GREYS.astype("<u1"), bits=8),
        grey_tiff((255 - GREYS).astype("<u1"), bits=8, photometric=0),
        grey_tiff((GREYS * 257).astype("<u2"), bits=16),
        grey_tiff((65_535 - GREYS * 257).astype("<u2"), bits=16, photometric=0),
        saved(Image.fromarray((GREYS * 257).astype(np.uint16)), "TIFF", compression="tiff_lzw"),
    ],
    ids=["PNG 8", "PNG 16", "TIFF 8", "TIFF 8 inverted", "TIFF 16", "TIFF 16 inverted", "TIFF 16 LZW"],
)
def test_grey_of_every_depth_has_the_same_pixels(data: bytes) -> None:
    assert off(data, np.repeat(GREYS[..., None], 3, axis=2)) == 0


def test_dark_pictures_of_16_bits_stay_dark() -> None:
    dark = np.full((8, 8), 200, np.uint16)
    dark[0] = 0x0500

    pixels = decode(grey_png(dark, 16)).pixels

    assert (pixels[0].max(), pixels[1:].max()) == (5, 0)
    assert decode(grey_png(np.full((8, 8), 200), 16)).pixels.max() == 0


@pytest.mark.parametrize("data", [grey_png(GREYS, 16), grey_tiff(GREYS.astype("<u2"), bits=16, photometric=0)])
def test_a_picture_that_would_lose_all_its_contrast_is_an_error_and_not_black(data: bytes) -> None:
    # 8 bits that were saved as 16, without scaling them.
    with pytest.raises(PictureUnsupported, match="0 to 255"):
        decode(data)


@pytest.mark.parametrize(("bits", "scale"), [(8, 1), (16, 257)])
def test_the_transparent_grey_is_put_on_white(bits: int, scale: int) -> None:
    samples = np.full((8, 32), 90) * scale
    # One sample beside the transparent value is not transparent, which takes all bits to see.
    samples[0], samples[1] = 40 * scale, 40 * scale + 1
    png = grey_png(samples, bits, chunk(b"tRNS", struct.pack(">H", 40 * scale)))

    pixels = decode(png).pixels

    assert pixels[0].min() == 255
    assert pixels[1].max() in (40, 41)
    assert (pixels[2:] == 90).all()


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_the_transparent_grey_of_few_bits_is_put_on_white(bits: int) -> None:
    # A row of one pixel: the value 0, which is transparent.
    png = png_of(1, 1, b"\0\0", bits=bits, more=chunk(b"tRNS", bytes(2)))

    assert decode(png).pixels.min() == 255


def test_the_transparent_colour_is_put_on_white() -> None:
    picture = Image.new("RGB", (8, 4), (10, 20, 30))
    picture.paste((10, 20, 31), (4, 0, 8, 4))

    pixels = decode(saved(picture, "PNG", transparency=(10, 20, 30))).pixels

    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[0, 7].tolist() == [10, 20, 31]


def test_a_transparent_value_has_only_the_bits_of_a_sample() -> None:
    png = grey_png(np.array([[40, 41]]), 8, chunk(b"tRNS", struct.pack(">H", 0x0100 + 40)))

    assert decode(png).pixels[0, :, 0].tolist() == [255, 41]


def test_a_transparent_grey_of_a_gif_is_put_on_white() -> None:
    # With all 256 greys in order Pillow reads it as mode L.
    greys = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))

    pixels = decode(saved(greys, "GIF", transparency=5, optimize=False)).pixels

    assert pixels[0, 4:7, 0].tolist() == [4, 255, 6]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_are_white_in_large_pictures_too(mode: str) -> None:
    # Larger than a strip of the conversion.
    picture = Image.new("RGBA", (2500, 2000), (10, 20, 30, 0))
    picture.paste((10, 20, 30, 255), (0, 1900, 2500, 2000))
    data = saved(picture.convert(mode) if mode != "P" else picture.quantize(4), "PNG")

    pixels = decode(data).pixels

    assert (pixels[:1890] == 255).all()
    assert pixels[1910:].max() < 60


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("width", [4201, 4207, 4208])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_an_edge_is_where_it_is_in_the_whole_picture(form: str, width: int, orientation: int) -> None:
    picture = Image.new("L", (width, 301), 255)
    picture.paste(0, (0, 0, 3800, 301))
    tag = Image.Exif()
    tag[0x0112] = orientation
    data = saved(turned(picture, orientation), form, exif=tag, **({"quality": 95} if form == "JPEG" else {}))

    seen = decode(data, Input(width=256, height=64))

    row = seen.pixels[seen.pixels.shape[0] // 2, :, 0].astype(float)
    found = (255 * len(row) - row.sum()) / 255
    assert (seen.width, seen.height, len(row)) == (width, 301, 256)
    assert found == pytest.approx(3800 * len(row) / width, abs=0.1)


def test_full_decoding_is_the_choice_of_an_entry() -> None:
    # Lines that a reduced decoding blurs in another way than the scaling of all pixels.
    picture = Image.new("L", (1024, 1024), 255)
    for x in range(0, 1024, 6):
        picture.paste(0, (x, 0, x + 2, 1024))
    data = saved(picture, "JPEG", quality=95)
    whole = Image.open(io.BytesIO(data)).convert("RGB").resize((64, 64), Image.Resampling.BILINEAR)

    full = decode(data, Input(width=64, height=64, decode="full")).pixels
    reduced = decode(data, SMALL).pixels

    assert np.abs(full.astype(int) - np.asarray(whole)).max() <= 1
    assert not np.array_equal(full, reduced)


@pytest.mark.parametrize(
    "data",
    [
        saved(card((400, 300)), "PNG")[:-100],
        png_of(20_000, 5_000, bytes(1000)),
        saved(Image.effect_noise((200, 200), 90), "JPEG")[:3000],
        grey_tiff(np.zeros((8, 8), np.uint8), bits=8, _256=5_000, _257=5_000),
    ],
    ids=["PNG", "PNG of many pixels", "JPEG", "TIFF"],
)
def test_a_picture_that_is_cut_off_is_an_error(data: bytes) -> None:
    with pytest.raises(PictureUndecodable):
        decode(data, SMALL)


def test_a_picture_that_takes_more_memory_than_is_free_is_an_error() -> None:
    data = saved(Image.new("RGB", (2000, 1000)), "PNG")

    with pytest.raises(PictureTooCostly, match="8 MB"):
        decode(data, SMALL, memory_bytes=7_000_000)

    assert decode(data, SMALL, memory_bytes=8_000_000).width == 2000


def test_a_large_photo_takes_only_the_memory_of_its_reduced_decoding() -> None:
    data = saved(Image.new("RGB", (4000, 3000), "teal"), "JPEG")

    assert decode(data, SMALL, memory_bytes=4_000_000).width == 4000


def test_samples_without_a_known_meaning_are_an_error() -> None:
    with pytest.raises(PictureUnsupported):
        decode(grey_tiff(np.zeros((8, 8), "<f4"), bits=32, kind=3), SMALL)
