"""EXIF orientations, 1 to 8. Without NumPy, which the API does not have."""

from PIL import Image

TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> the operation that turns the stored picture upright; 1 needs none."""
QUARTER_TURNS = frozenset({5, 6, 7, 8})
"""Orientations that swap width and height."""
