"""The formats of pictures that Boxqueue takes, and EXIF orientations. Without NumPy, which the API does not have."""

from PIL import Image

# Common formats with bounded decoders. Each further decoder would be a risk with hostile files.
FORMATS = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
    "GIF": "image/gif",
    "TIFF": "image/tiff",
}
"""Pillow's name of a format -> its media type."""
Image.init()  # registers them all: `Image.open(formats=…)` knows only those that are registered
# BOXQUEUE_MAX_PICTURE_MEGAPIXELS is checked on the header, before any pixel is decoded. Pillow's own limit is lower, so
# it would refuse pictures that were accepted.
Image.MAX_IMAGE_PIXELS = None

TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation, 1 to 8 -> the operation that turns the stored picture upright; 1 needs none."""
QUARTER_TURNS = frozenset({5, 6, 7, 8})
"""Orientations that swap width and height."""
