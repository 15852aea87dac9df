"""Bilinear interpolation as OpenCV computes it for 8 bits, INTER_LINEAR: to the same numbers.

A pixel of the new picture is a mean of the four pixels around its place in the old one. Where a picture gets smaller,
the other pixels count for nothing, while Pillow's filters leave none out. Models that were trained with OpenCV know
such pictures.
"""

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int32]

# OpenCV's weights are integers of 11 bits: modules/imgproc/src/resize.cpp, INTER_RESIZE_COEF_BITS.
_ONE = np.float32(2048)


def bilinear(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """A picture, uint8 H × W × 3, scaled to `size`, width and height."""
    height, width = pixels.shape[:2]
    left, right, left_weight, right_weight = _axis(width, size[0], at_borders=0.0)
    upper, lower, upper_weight, lower_weight = _axis(height, size[1], at_borders=None)
    rows, where = np.unique(np.concatenate([upper, lower]), return_inverse=True)
    # Three columns of numbers for each column of pixels: one index is faster than two.
    source = pixels[rows].reshape(len(rows), -1)
    across = _mixed(source, left, left_weight) + _mixed(source, right, right_weight)
    across >>= 4
    first, second = across[where[: size[1]]], across[where[size[1] :]]
    first *= upper_weight[:, None]
    first >>= 16
    second *= lower_weight[:, None]
    second >>= 16
    first += second
    first += 2
    first >>= 2
    return first.astype(np.uint8).reshape(size[1], size[0], 3)


def _mixed(source: Pixels, columns: Integers, weights: Integers) -> Integers:
    numbers = (columns[:, None] * 3 + np.arange(3)).ravel()
    return np.multiply(source.take(numbers, axis=1), np.repeat(weights, 3), dtype=np.int32)


def _axis(old: int, new: int, *, at_borders: float | None) -> tuple[Integers, Integers, Integers, Integers]:
    """For each of `new` pixels: the two pixels of `old` ones that it lies between, and their weights, 0 to 2048.

    `at_borders`: the share of the second pixel where one of the two lies outside; None if it stays as it is.
    """
    places = ((np.arange(new) + 0.5) * (1.0 / (new / old)) - 0.5).astype(np.float32)
    first = np.floor(places).astype(np.int32)
    share = places - first
    if at_borders is not None:
        share[(first < 0) | (first >= old - 1)] = at_borders
    weights = np.rint((1 - share) * _ONE).astype(np.int32), np.rint(share * _ONE).astype(np.int32)
    return first.clip(0, old - 1), (first + 1).clip(0, old - 1), *weights
