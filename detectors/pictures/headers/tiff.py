"""TIFF 6.0, and BigTIFF. The first picture of the file counts."""

import math
import struct

from detectors.errors import PictureTooCostly, PictureUnsupported
from detectors.pictures.exif import Entry, first_directory, orientation
from detectors.pictures.headers.header import Header, damaged
from detectors.pictures.headers.jpeg import require_few_scans

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP_OFFSETS, _SAMPLES, _STRIP_ROWS, _STRIP_BYTES, _PLANAR = 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES, _SAMPLE_FORMAT = 322, 323, 324, 325, 339
# Further tags that say how pixels are coded: bit order, CCITT, predictor, palette, further samples, JPEG, YCbCr.
_CODING = frozenset({266, 292, 293, 317, 320, 338, 347, *range(512, 522), 529, 530, 531, 532})
_NEEDED = _CODING | {
    *(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIP_OFFSETS, _SAMPLES, _STRIP_ROWS, _STRIP_BYTES, _PLANAR),
    *(_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES, _SAMPLE_FORMAT),
}
# Raw files of cameras (DNG, NEF, ARW, …) are TIFFs, and their first picture is often a thumbnail.
_SUBFILE, _THUMBNAIL, _DNG_VERSION = 254, 1, 50706
_READ = _NEEDED | {_SUBFILE, _DNG_VERSION}
_LISTS = frozenset({_STRIP_OFFSETS, _STRIP_BYTES, _TILE_OFFSETS, _TILE_BYTES})
_RAW, _JPEG = 1, 7
# Tag 259: CCITT 2 to 4, LZW 5, the two kinds of JPEG, Deflate 8 and 32946, PackBits 32773, LZMA 34925, Zstandard, WebP.
_COMPRESSIONS = frozenset({_RAW, 2, 3, 4, 5, 6, _JPEG, 8, 32773, 32946, 34925, 50000, 50001})
_WHITE_IS_ZERO, _BLACK_IS_ZERO = 0, 1
# Tag 262, with RGB 2, palette 3, CMYK 5 and YCbCr 6.
_PHOTOMETRICS = frozenset({_WHITE_IS_ZERO, _BLACK_IS_ZERO, 2, 3, 5, 6})
_UNSIGNED = 1
# A tile is decoded as a whole. Ordinary ones have up to 2,048 × 2,048 pixels, also in a small picture.
MAX_TILE_SHARE, MAX_TILE_PIXELS = 4, 2048 * 2048
_SAMPLE_NAMES = {2: "signed integers", 3: "floating-point numbers", 5: "complex integers", 6: "complex numbers"}


def read(data: bytes) -> Header:
    """The header.

    Raises `PictureUnsupported` for samples that have no known mapping to 8 bits: signed, floating-point, or of more
    than 16 bits.
    """
    directory = first_directory(data)
    if directory is None:
        raise damaged("it has no directory")
    tags = {entry.tag: directory.numbers(entry, 16) for entry in directory if entry.tag in _READ}

    def one(tag: int, default: int = 0) -> int:
        return (tags.get(tag) or [default])[0]

    if one(_SUBFILE) & _THUMBNAIL or _DNG_VERSION in tags or data[8:10] == b"CR":
        raise PictureUnsupported(
            "The file is raw data of a camera, or its first picture is a thumbnail: export it as a JPEG or an ordinary "
            "TIFF."
        )
    width, height, bits = one(_WIDTH), one(_HEIGHT), one(_BITS, 1)
    samples, photometric = one(_SAMPLES, len(tags.get(_BITS) or [1])), one(_PHOTOMETRIC, _WHITE_IS_ZERO)
    if not 1 <= width < 2**31 or not 1 <= height < 2**31:
        raise damaged("the picture has no pixels")
    _require_supported(tags, one(_COMPRESSION, _RAW), photometric, max(tags.get(_BITS) or [1]))
    tile_width, tile_height = one(_TILE_WIDTH, width), one(_TILE_HEIGHT, min(one(_STRIP_ROWS, height), height))
    if _TILE_OFFSETS not in tags:
        tile_width = width
    if tile_width < 1 or tile_height < 1:
        raise damaged("its strips or tiles have no pixels")
    if tile_width * tile_height > MAX_TILE_SHARE * width * height + MAX_TILE_PIXELS:
        raise PictureTooCostly(
            f"The TIFF has tiles of {tile_width:,} × {tile_height:,} pixels for a picture of {width:,} × {height:,}: "
            "save it again in another program."
        )
    layers = samples if one(_PLANAR, 1) == 2 else 1
    tiles = math.ceil(width / tile_width) * math.ceil(height / tile_height) * layers
    for entry in directory:
        # Pillow makes a Python number of each.
        if entry.tag in _LISTS and entry.count > 2 * tiles + 64:
            raise damaged(f"it lists {entry.count:,} strips or tiles, but the picture has {tiles:,}")
    if one(_COMPRESSION) == _JPEG:
        require_few_scans(data, 0, tile_width * tile_height, parts=tiles)
    tile_bytes = tile_width * tile_height * (samples if layers == 1 else 1) * bits // 8
    is_raw = one(_COMPRESSION, _RAW) == _RAW
    is_grey = photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO) and samples == 1
    return Header(
        "image/tiff",
        width,
        height,
        orientation(data),
        bytes_a_pixel=6 if is_grey else 9,
        # libtiff's buffer, and Pillow's.
        fixed_bytes=2 * tile_bytes,
        cut_off=is_raw and width * height * samples * bits // 8 > len(data),
        grey_bits=bits if is_grey else 8,
        white_is_zero=photometric == _WHITE_IS_ZERO and bits > 8,
    )


def essential(data: bytes) -> bytes:
    """The same pixels with a directory that has only what makes them, as the file's only one."""
    directory = first_directory(data)
    assert directory is not None
    order, big = directory.order, directory.big
    chosen: dict[int, Entry] = {entry.tag: entry for entry in directory if entry.tag in _NEEDED}
    entries = [chosen[tag].raw for tag in sorted(chosen)]
    at = len(data) + len(data) % 2
    made = struct.pack(order + ("Q" if big else "H"), len(entries)) + b"".join(entries) + bytes(8 if big else 4)
    head = data[:8] + struct.pack(order + "Q", at) if big else data[:4] + struct.pack(order + "I", at)
    return b"".join([head, memoryview(data)[len(head) :], bytes(len(data) % 2), made])


def _require_supported(tags: dict[int, list[int]], compression: int, photometric: int, bits: int) -> None:
    """Raises `PictureUnsupported`."""
    for kind in tags.get(_SAMPLE_FORMAT) or ():
        if kind != _UNSIGNED:
            named = _SAMPLE_NAMES.get(kind, "of an unknown kind")
            raise PictureUnsupported(
                f"The TIFF's samples are {named}, and no rule says which value is white: save it with unsigned samples "
                "of 8 or 16 bits."
            )
    if bits > 16:
        raise PictureUnsupported(
            f"The TIFF has {bits} bits a sample, and no rule says which value is white: save it with 8 or 16 bits."
        )
    if compression not in _COMPRESSIONS:
        raise PictureUnsupported(f"The TIFF's compression {compression} is not read: save it with LZW or Deflate.")
    if photometric not in _PHOTOMETRICS:
        raise PictureUnsupported(f"The TIFF's colour space (photometric {photometric}) is not read: save it as RGB.")
