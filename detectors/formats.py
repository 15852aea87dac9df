"""Formats of pictures that are decoded; the same that are accepted. Without NumPy, which the API does not have."""

from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
Image.init()  # registers them all: `Image.open(formats=…)` knows only those that are registered
