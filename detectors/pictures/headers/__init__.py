"""Reads the headers of pictures: what a file says about its picture, without decoding a pixel."""

from detectors.pictures.headers.header import QUARTER_TURNS, Header
from detectors.pictures.headers.read import MEDIA_TYPES, essential, read_header

__all__ = ["MEDIA_TYPES", "QUARTER_TURNS", "Header", "essential", "read_header"]
