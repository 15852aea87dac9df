import struct

import pytest

from detectors.pictures.exif import orientation
from tests.picture_files import exif

TAG = 0x0112
# Offset behind one entry, and behind two.
ONE, TWO = 8 + 2 + 12 + 4, 8 + 2 + 24 + 4
SIX = (TAG, 3, 1, struct.pack("<H", 6))


def short(value: int) -> tuple[int, int, int, bytes]:
    return (TAG, 3, 1, struct.pack("<H", value))


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_orientation_is_read_in_both_byte_orders(value: int, order: str) -> None:
    assert orientation(exif((TAG, 3, 1, struct.pack(order + "H", value)), order=order)) == value


@pytest.mark.parametrize(
    ("entry", "tail"),
    [
        ((TAG, 1, 1, b"\6"), b""),
        ((TAG, 2, 2, b"6\0"), b""),
        ((TAG, 3, 2, struct.pack("<HH", 6, 6)), b""),
        ((TAG, 4, 1, struct.pack("<I", 6)), b""),
        ((TAG, 5, 1, struct.pack("<I", ONE)), struct.pack("<II", 6, 1)),
        ((TAG, 6, 1, b"\6"), b""),
        ((TAG, 7, 1, b"\6"), b""),
        ((TAG, 8, 1, struct.pack("<h", 6)), b""),
        ((TAG, 9, 1, struct.pack("<i", 6)), b""),
        ((TAG, 11, 1, struct.pack("<f", 6.0)), b""),
        ((TAG, 12, 1, struct.pack("<I", ONE)), struct.pack("<d", 6.0)),
    ],
)
def test_the_orientation_is_read_from_any_type(entry: tuple[int, int, int, bytes], tail: bytes) -> None:
    assert orientation(exif(entry, tail=tail)) == 6


@pytest.mark.parametrize(
    ("other", "tail"),
    [
        ((305, 5, 1, struct.pack("<I", TWO)), struct.pack("<II", 1, 2)),  # Software as a rational
        ((282, 5, 1, struct.pack("<I", TWO)), struct.pack("<II", 0, 0)),  # 0/0
        ((282, 2, 4, b"72\0\0"), b""),
        ((271, 2, 5000, struct.pack("<I", 60_000)), b""),  # beyond the end
        ((271, 2, 2**31, struct.pack("<I", 8)), b""),
        ((271, 99, 1, b"abcd"), b""),
        ((0x8769, 4, 1, struct.pack("<I", 8)), b""),  # a directory in a circle
        ((0x8825, 2, 4, b"abc\0"), b""),
    ],
)
def test_other_tags_do_not_matter(other: tuple[int, int, int, bytes], tail: bytes) -> None:
    assert orientation(exif(SIX, other, tail=tail)) == 6
    assert orientation(exif(other, SIX, tail=tail)) == 6


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"Exif\0\0",
        b"Exif\0\0" + bytes(40),
        b"Exif\0\0hello, I am no TIFF",
        exif(),
        exif(short(0)),
        exif(short(9)),
        exif((TAG, 5, 1, struct.pack("<I", ONE)), tail=struct.pack("<II", 6, 0)),
        exif((TAG, 5, 1, struct.pack("<I", ONE)), tail=struct.pack("<II", 13, 2)),
        exif((TAG, 12, 1, struct.pack("<I", ONE)), tail=struct.pack("<d", float("nan"))),
        exif((TAG, 5, 1, struct.pack("<I", 60_000))),
        exif((TAG, 2, 2, b"x\0")),
        exif((TAG, 3, 0, b"")),
        exif(SIX)[:16],
    ],
)
def test_without_an_orientation_that_can_be_read_the_picture_is_not_turned(block: bytes) -> None:
    assert orientation(block) == 1


def test_a_directory_that_is_cut_off_counts_as_far_as_it_goes() -> None:
    assert orientation(exif(SIX, (271, 2, 4, b"abc\0"))[:-10]) == 6


def test_of_several_orientations_the_last_valid_one_counts() -> None:
    assert orientation(exif(short(1), short(6))) == 6
    assert orientation(exif(short(6), short(9))) == 6


@pytest.mark.parametrize("at", [16, 2**64 - 1])
def test_offsets_of_64_bits_beyond_the_end_are_no_orientation(at: int) -> None:
    entry = struct.pack("<HHQQ", TAG, 3, 9, 2**64 - 1)

    assert orientation(b"II+\0\x08\0\0\0" + struct.pack("<QQ", at, 1) + entry) == 1
