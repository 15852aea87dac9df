"""The formats of pictures that Boxqueue takes. Without NumPy, which the API does not have."""

from PIL import Image

# Formats whose decoders are bounded and common. Others stay out: each one more is a door for hostile files.
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
