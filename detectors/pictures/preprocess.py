"""From pixels to the tensor that a model takes.

Every runtime uses this code, so the same weights find the same boxes everywhere.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from detectors.catalogue import FLOATS, Input
from detectors.pictures.bilinear import bilinear
from detectors.pictures.raster import resized

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.uint8] | npt.NDArray[np.float16] | npt.NDArray[np.float32]
Batch = Array | list[Array]
"""Pictures for a model: one array, or a list with one array per picture where they keep their sizes."""


def content_size(width: int, height: int, into: Input) -> tuple[int, int]:
    """Width and height in pixels, at least 1, that a `width` × `height` picture has in the model's input, without
    padding."""
    if into.resize == "stretch":
        return into.width, into.height
    scale = min(into.width / width, into.height / height)
    if into.resize == "none":
        scale = min(1.0, scale)
    return max(1, round(width * scale)), max(1, round(height * scale))


def content_offset(size: tuple[int, int], into: Input) -> tuple[int, int]:
    """Left and top, in pixels of the model's input, of a picture that has `size`, width and height, in it."""
    if into.resize != "letterbox" or into.position == "corner":
        return 0, 0
    return (into.width - size[0]) // 2, (into.height - size[1]) // 2


def resize(pixels: Pixels, into: Input) -> Pixels:
    """Scales an RGB picture (uint8, H×W×3) as `into.resize` says. A letterboxed picture lies on a grey canvas of
    `into.height` × `into.width`."""
    height, width = pixels.shape[:2]
    target = content_size(width, height, into)
    if target != (width, height):
        pixels = _scaled(pixels, target, into)
    if into.resize == "none" or target == (into.width, into.height):
        return pixels
    canvas = np.full((into.height, into.width, 3), into.padding, np.uint8)
    left, top = content_offset(target, into)
    canvas[top : top + target[1], left : left + target[0]] = pixels
    return canvas


def _scaled(pixels: Pixels, size: tuple[int, int], into: Input) -> Pixels:
    if into.interpolation == "bilinear":
        return bilinear(pixels, size)
    return np.asarray(resized(Image.fromarray(pixels), size))


def to_tensor(images: Sequence[Pixels], into: Input) -> Batch:
    """RGB pictures (uint8, H×W×3, any sizes) as a batch in the layout, type and value range of the model's input; as a
    list, if the model takes pictures in their own sizes."""
    resized = [resize(image, into) for image in images]
    if into.resize == "none":
        return [_convert(pixels[None], into)[0] for pixels in resized]
    return _convert(np.stack(resized), into)


def _convert(batch: Pixels, into: Input) -> Array:
    """n × H × W × 3 in RGB -> the layout, channels and type of the input; floats are scaled and normalised."""
    if into.channels == "BGR":
        batch = batch[..., ::-1]
    if into.layout == "NCHW":
        batch = batch.transpose(0, 3, 1, 2)
    if into.dtype not in FLOATS:
        return np.ascontiguousarray(batch)
    channels = (3, 1, 1) if into.layout == "NCHW" else (3,)
    mean, std = (np.asarray(value, np.float32).reshape(channels) for value in (into.mean, into.std))
    values = (batch.astype(np.float32) * np.float32(into.scale) - mean) / std
    return np.ascontiguousarray(values, into.dtype)
