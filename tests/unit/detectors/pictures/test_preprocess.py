import io

import numpy as np
import pytest
from PIL import Image

from detectors.catalogue import Input
from detectors.errors import PictureUndecodable
from detectors.pictures.decode import decode
from detectors.pictures.preprocess import resize, to_tensor

SMALL = Input(width=64, height=64)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def gradient(width: int, height: int) -> Image.Image:
    """Red grows to the right, green downwards."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width, dtype=np.uint8)
    pixels[..., 1] = np.linspace(0, 255, height, dtype=np.uint8)[:, None]
    return Image.fromarray(pixels)


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "RGBA", "P", "1", "CMYK", "YCbCr", "I;16"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.full((20, 30), 128 * 256, np.uint16))
    else:
        image = Image.new("L", (30, 20), 128 if mode != "1" else 255).convert(mode)

    pixels = decode(encoded(image, "TIFF")).pixels

    assert pixels.shape == (20, 30, 3)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - (255 if mode == "1" else 128)).max() <= 2


def test_transparent_pixels_are_put_on_white() -> None:
    pixels = decode(encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 0)), "PNG")).pixels

    assert (pixels == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_picture_is_turned_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = gradient(60, 40)
    seen = decode(encoded(stored, "PNG", exif=exif))

    expected = Image.open(io.BytesIO(encoded(stored, "PNG", exif=exif)))
    from PIL import ImageOps

    assert np.array_equal(seen.pixels, np.asarray(ImageOps.exif_transpose(expected)))
    assert (seen.width, seen.height) == seen.pixels.shape[1::-1]


def test_the_first_frame_of_an_animation_counts() -> None:
    frames = [Image.new("RGB", (10, 10), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])

    assert decode(data).pixels[5, 5].tolist() == [255, 0, 0]


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_photo_is_decoded_small_and_looks_the_same(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(gradient(2000, 1000), "JPEG", quality=95, exif=exif)

    small, whole = decode(data, SMALL), decode(data)

    assert (small.width, small.height) == (whole.width, whole.height)
    assert small.pixels.shape[:2] == ((32, 64) if orientation == 1 else (64, 32))
    assert np.abs(resize(small.pixels, SMALL).astype(int) - resize(whole.pixels, SMALL)).mean() < 2


def test_a_turned_photo_is_decoded_as_large_as_its_model_needs() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = gradient(400, 800)
    # Lines that a smaller decoding would blur.
    stored.paste("black", (0, 0, 400, 16))
    data = encoded(stored, "JPEG", quality=95, exif=exif)
    wide = Input(width=256, height=64)

    small, whole = decode(data, wide), decode(data)

    assert small.pixels.shape == (64, 128, 3)
    assert np.abs(small.pixels.astype(int) - resize(whole.pixels, wide)[:, :128]).mean() < 2


def test_a_picture_that_was_accepted_is_not_too_large_for_pillow() -> None:
    # More than twice Pillow's own limit, and less than BOXQUEUE_MAX_PICTURE_MEGAPIXELS.
    width, height = 14_000, 13_500

    picture = decode(encoded(Image.new("L", (width, height), 200), "JPEG", quality=10), SMALL)

    assert (picture.width, picture.height) == (width, height)


def test_boxes_are_in_pixels_of_the_whole_picture() -> None:
    found = decode(encoded(gradient(2000, 1000), "PNG"), SMALL)

    assert found.pixels.shape == (32, 64, 3)
    assert found.to_original(np.array([[1, 2, 33.33333, 32]], np.float32)).tolist() == [[31.25, 62.5, 1041.67, 1000]]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_truncated_picture_is_an_error(kind: str) -> None:
    rng = np.random.default_rng(0)
    data = encoded(Image.fromarray(rng.integers(0, 255, (200, 200, 3), np.uint8)), kind)

    with pytest.raises(PictureUndecodable):
        decode(data[: len(data) // 2], SMALL)


def test_a_letterboxed_picture_lies_at_the_top_left() -> None:
    canvas = resize(np.full((50, 100, 3), 7, np.uint8), SMALL)

    assert canvas.shape == (64, 64, 3)
    assert (canvas[:32] == 7).all()
    # What the bundled model was trained with, and most others: another value is another revision of the pipeline.
    assert (canvas[32:] == 114).all()


def test_a_picture_is_stretched_or_keeps_its_size_where_the_entry_says_so() -> None:
    picture = np.full((50, 100, 3), 7, np.uint8)

    stretched = resize(picture, Input(width=64, height=64, resize="stretch"))

    assert (stretched.shape, (stretched == 7).all()) == ((64, 64, 3), True)
    assert resize(picture, Input(width=640, height=640, resize="none")).shape == (50, 100, 3)
    assert resize(picture, Input(width=64, height=64, resize="none")).shape == (32, 64, 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1)])
def test_extreme_shapes_keep_at_least_a_pixel(size: tuple[int, int]) -> None:
    assert resize(np.zeros((size[1], size[0], 3), np.uint8), SMALL).shape == (64, 64, 3)


def test_a_tensor_has_the_layout_and_range_of_its_entry() -> None:
    white = np.full((64, 64, 3), 255, np.uint8)
    plain = Input(width=64, height=64, layout="NHWC", dtype="uint8")
    scaled = Input(width=64, height=64, scale=1 / 255, mean=(0.5, 0.5, 0.5), std=(0.25, 0.5, 1.0))

    assert to_tensor([white, white], plain).shape == (2, 64, 64, 3)
    batch = to_tensor([white], scaled)
    assert (batch.shape, batch.dtype) == ((1, 3, 64, 64), np.float32)
    assert batch[0, :, 0, 0].tolist() == pytest.approx([2.0, 1.0, 0.5])
