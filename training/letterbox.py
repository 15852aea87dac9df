"""Pictures into the model's input."""

from __future__ import annotations

from PIL import Image

GREY = 114


def letterbox(image: Image.Image, size: int) -> tuple[Image.Image, float]:
    """Scaled to fit, at the top left of a grey square of this size; and the scale."""
    scale = min(size / image.width, size / image.height)
    fitted = image.resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.BILINEAR
    )
    square = Image.new("RGB", (size, size), (GREY, GREY, GREY))
    square.paste(fitted, (0, 0))
    return square, scale
