"""BMP: https://learn.microsoft.com/windows/win32/gdi/bitmap-storage."""

import struct

from detectors.errors import PictureTooCostly, PictureUnsupported
from detectors.pictures.headers.header import Header

_FILE_HEADER_BYTES = 14
_CORE_HEADER_BYTES = 12
_RAW, _RLE8, _RLE4, _BIT_FIELDS = 0, 1, 2, 3
# Pillow decodes run lengths in Python.
_MAX_RLE_BYTES = 4_000_000


def read(data: bytes) -> Header:
    """The header. A bitmap has no orientation."""
    (offset, size) = struct.unpack_from("<II", data, 10)
    if size == _CORE_HEADER_BYTES:
        width, height, _, bits = struct.unpack_from("<HHHH", data, _FILE_HEADER_BYTES + 4)
        compression = _RAW
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, _FILE_HEADER_BYTES + 4)
    # A negative height means that the first row is the top one.
    height = abs(height)
    if compression not in (_RAW, _RLE8, _RLE4, _BIT_FIELDS) or bits not in (1, 2, 4, 8, 16, 24, 32):
        raise PictureUnsupported(
            f"A BMP with {bits} bits a pixel and compression {compression} is not read: save it as a PNG."
        )
    is_rle = compression in (_RLE8, _RLE4)
    if is_rle and len(data) > _MAX_RLE_BYTES:
        raise PictureTooCostly(
            f"The BMP has {len(data):,} bytes of run lengths, which take too long to decode: save it as a PNG."
        )
    row = (width * bits + 31) // 32 * 4
    cut_off = not is_rle and (row * height > len(data) - offset)
    return Header("image/bmp", width, height, bytes_a_pixel=8 if bits == 32 else 5, cut_off=cut_off)
