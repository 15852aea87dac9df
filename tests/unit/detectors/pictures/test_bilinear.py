"""Bilinear interpolation gives OpenCV's numbers. They were written by opencv-python-headless 5.0.0, `cv2.resize`."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from detectors.catalogue import Input
from detectors.pictures.bilinear import bilinear
from detectors.pictures.decode import decode
from detectors.pictures.preprocess import resize, to_tensor


def sample(width: int, height: int) -> np.ndarray:
    numbers = np.arange(height * width * 3, dtype=np.int64)
    return ((numbers * numbers * 7 + numbers * 13) % 256).astype(np.uint8).reshape(height, width, 3)


def test_a_small_picture_becomes_smaller() -> None:
    assert bilinear(sample(5, 4), (3, 2))[..., 0].tolist() == [[128, 53, 143], [105, 125, 138]]


@pytest.mark.parametrize(
    ("old", "new", "digest"),
    [
        ((640, 480), (320, 240), "e2468901d458b72e"),
        ((333, 777), (137, 320), "50fdc02ca5e7813c"),
        ((100, 80), (640, 512), "76dcd10fc4979ba0"),
        ((1, 9), (4, 3), "03636bb25e0a8510"),
        ((64, 48), (64, 48), "59db22a946a71a9d"),
    ],
)
def test_every_number_is_that_of_opencv(old: tuple[int, int], new: tuple[int, int], digest: str) -> None:
    assert hashlib.sha256(bilinear(sample(*old), new).tobytes()).hexdigest()[:16] == digest


@pytest.mark.parametrize("size", [(640, 480), (40, 30)])
def test_a_worker_gives_the_model_these_numbers(size: tuple[int, int]) -> None:
    into = Input(width=80, height=80, interpolation="bilinear", layout="NHWC", dtype="uint8")
    file = io.BytesIO()
    Image.fromarray(sample(*size)).save(file, "PNG")

    decoded = decode(file.getvalue(), into)

    assert (decoded.width, decoded.height) == size
    assert np.array_equal(resize(decoded.pixels, into)[:60], bilinear(sample(*size), (80, 60)))


def test_a_large_jpeg_is_decoded_whole() -> None:
    # At an eighth of its size, every pixel would be a mean of 64.
    file = io.BytesIO()
    Image.fromarray(sample(640, 480)).save(file, "JPEG", quality=95)

    decoded = decode(file.getvalue(), Input(width=64, height=64, interpolation="bilinear"))

    whole = np.asarray(Image.open(io.BytesIO(file.getvalue())))
    assert np.array_equal(decoded.pixels, bilinear(whole, (64, 48)))


def test_a_picture_in_the_middle_has_padding_at_both_sides() -> None:
    into = Input(width=64, height=64, position="centre", padding=7, layout="NHWC", dtype="uint8")

    wide = resize(np.full((20, 64, 3), 200, np.uint8), into)
    odd = resize(np.full((64, 31, 3), 200, np.uint8), into)

    assert (wide[:22] == 7).all()
    assert (wide[22:42] == 200).all()
    assert (wide[42:] == 7).all()
    # 33 columns of padding: the smaller half is at the left, as in Ultralytics.
    assert (odd[:, :16] == 7).all()
    assert (odd[:, 16:47] == 200).all()
    assert (odd[:, 47:] == 7).all()


def test_bgr_turns_the_channels_and_then_normalises_them() -> None:
    into = Input(width=8, height=8, channels="BGR", scale=1 / 255, mean=(0.0, 0.0, 0.5), dtype="float32")
    red = np.full((8, 8, 3), (255, 0, 0), np.uint8)

    blue_first = to_tensor([red], into)

    assert isinstance(blue_first, np.ndarray)
    assert blue_first[0, :, 0, 0].tolist() == pytest.approx([0, 0, 0.5])


def test_float16_is_rounded_last() -> None:
    into = Input(width=8, height=8, scale=1 / 255, dtype="float16")

    tensor = to_tensor([np.full((8, 8, 3), 100, np.uint8)], into)

    assert isinstance(tensor, np.ndarray)
    assert (tensor.dtype, tensor[0, 0, 0, 0]) == (np.float16, np.float16(np.float32(100 / 255)))
