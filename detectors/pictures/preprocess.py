"""From pixels to the tensor that a model takes.

Every runtime takes this one path, so the same weights give the same boxes everywhere.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from detectors.catalogue import Input

# What lies beside a letterboxed picture. The value that the YOLO family made common.
PADDING = 114

Pixels = npt.NDArray[np.uint8]
Batch = npt.NDArray[np.uint8] | npt.NDArray[np.float32] | list[npt.NDArray[np.uint8]] | list[npt.NDArray[np.float32]]
"""Pictures for a model: one array, or one each where they keep their sizes."""


def content_size(width: int, height: int, into: Input) -> tuple[int, int]:
    """Width and height that a picture has as the model sees it, in pixels, at least 1."""
    if into.resize == "stretch":
        return into.width, into.height
    scale = min(into.width / width, into.height / height)
    if into.resize == "none":
        scale = min(1.0, scale)
    return max(1, round(width * scale)), max(1, round(height * scale))


def place(pixels: Pixels, into: Input) -> Pixels:
    """A picture of any size as the model sees it, RGB uint8: scaled, and at the top left of a grey canvas of
    `into.height` × `into.width` where it is letterboxed."""
    height, width = pixels.shape[:2]
    target = content_size(width, height, into)
    if target != (width, height):
        pixels = np.asarray(Image.fromarray(pixels).resize(target, Image.Resampling.BILINEAR))
    if into.resize == "none" or target == (into.width, into.height):
        return pixels
    canvas = np.full((into.height, into.width, 3), PADDING, np.uint8)
    canvas[: target[1], : target[0]] = pixels
    return canvas


def to_tensor(images: Sequence[Pixels], into: Input) -> Batch:
    """Pictures of any sizes as one batch in the layout, type and range that the model's entry asks for; as a list,
    where the model takes them in their own sizes."""
    placed = [place(image, into) for image in images]
    if into.resize == "none":
        return [_as_asked(pixels[None], into)[0] for pixels in placed]
    return _as_asked(np.stack(placed), into)


def _as_asked(batch: Pixels, into: Input) -> npt.NDArray[np.uint8] | npt.NDArray[np.float32]:
    if into.layout == "NCHW":
        batch = batch.transpose(0, 3, 1, 2)
    if into.dtype == "uint8":
        return np.ascontiguousarray(batch)
    channels = (3, 1, 1) if into.layout == "NCHW" else (3,)
    mean, std = (np.asarray(value, np.float32).reshape(channels) for value in (into.mean, into.std))
    return np.ascontiguousarray((batch.astype(np.float32) * np.float32(into.scale) - mean) / std)
