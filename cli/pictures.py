"""Finds the pictures of a folder, and groups them into requests."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cli.errors import WrongUsage

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
# One request: enough pictures to spread its cost, few enough bytes to repeat it quickly.
MAX_FILES = 32
MAX_BYTES = 24_000_000
# No service accepts a larger picture, so it is not read.
TOO_LARGE_BYTES = 256_000_000
CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f]")
MAX_SOURCE_LENGTH = 1024


@dataclass(frozen=True, slots=True)
class Picture:
    """A file to send. `source`: its path below the folder, with `/`."""

    source: str
    content: bytes


@dataclass(frozen=True, slots=True)
class UnreadablePicture:
    """A picture that this machine could not read, and the reason."""

    source: str
    reason: str


def require_folder(folder: Path) -> None:
    """Raises `WrongUsage` if the folder does not exist or can't be listed."""
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise WrongUsage(f"Can't read the folder {folder}: {error.strerror}.") from None


def picture_files(folder: Path, recursive: bool) -> Iterator[str | None]:
    """Paths below `folder` sorted by name; None for each file without the suffix of a picture.

    Keeps the names of one folder at a time. Does not follow links to folders, because they may form a cycle.
    """
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        yield None  # a folder that can't be listed counts as one skipped file
        return
    # Directory entries take much more memory than names, so only the names are kept.
    files = [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
    folders = [entry.name for entry in entries if recursive and entry.is_dir(follow_symlinks=False)]
    del entries
    for name in files:
        yield str(folder / name) if Path(name).suffix.lower() in SUFFIXES else None
    for name in folders:
        yield from picture_files(folder / name, recursive)


def requests_of(folder: Path, files: Iterable[str]) -> Iterator[list[Picture | UnreadablePicture]]:
    """Reads the files into groups of at most MAX_FILES and MAX_BYTES; a larger file is a group of its own."""
    group: list[Picture | UnreadablePicture] = []
    size = 0
    for file in files:
        item = _read(folder, Path(file))
        length = len(item.content) if isinstance(item, Picture) else 0
        if group and (len(group) == MAX_FILES or size + length > MAX_BYTES):
            yield group
            group, size = [], 0
        group.append(item)
        size += length
    if group:
        yield group


def _read(folder: Path, file: Path) -> Picture | UnreadablePicture:
    source = _source(file.relative_to(folder).as_posix())
    try:
        if not file.is_file():
            return UnreadablePicture(source, "no regular file")
        if file.stat().st_size > TOO_LARGE_BYTES:
            return UnreadablePicture(source, f"larger than {TOO_LARGE_BYTES // 1_000_000} MB")
        return Picture(source, file.read_bytes())
    except OSError as error:
        return UnreadablePicture(source, error.strerror or "can't be read")


def _source(path: str) -> str:
    """The name that is sent with a picture. It is for display only, so it is repaired instead of refused: invalid UTF-8
    and control characters are replaced, and only the last MAX_SOURCE_LENGTH characters are kept."""
    text = CONTROL_CHARACTERS.sub("\ufffd", os.fsencode(path).decode("utf-8", "replace"))
    return text[-MAX_SOURCE_LENGTH:]
