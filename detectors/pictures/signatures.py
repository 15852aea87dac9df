"""Tells the type of a picture by its first bytes. Without Pillow: also the command line reads it."""

HEAD_BYTES = 64
"""As many of a file's first bytes are enough for `media_type_of`."""

# ISO base media files (ISO/IEC 14496-12, 4.3) begin with a box `ftyp`, which lists the brands of the file.
# HEIC: ISO/IEC 23008-12, B.4 and B.8; its general brands `mif1` and `msf1` need a closer look. AVIF: av1-avif, 8.
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_GENERAL_BRANDS = frozenset({b"mif1", b"msf1", b"mif2"})


def media_type_of(head: bytes) -> str | None:
    """The media type of a picture that begins with `head`; None for a file of no known type."""
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    # The fourth kind is BigTIFF.
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "image/tiff"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    # Two letters alone begin many a text, so the size of the second header has to fit as well.
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS:
        return "image/bmp"
    return _iso_media_type(head)


# Sizes of the headers that a bitmap may have.
_BITMAP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})


def _iso_media_type(head: bytes) -> str | None:
    if head[4:8] != b"ftyp":
        return None
    end = min(int.from_bytes(head[:4], "big"), len(head))
    # The major brand, and after its version the compatible ones.
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, end, 4))]
    if not _AVIF_BRANDS.isdisjoint(brands):
        return "image/avif"
    if not _HEIC_BRANDS.isdisjoint(brands):
        return "image/heic"
    return "image/heic" if brands[0] in _GENERAL_BRANDS else None
