"""Which files of a folder are pictures, and their bytes in groups that make one request each."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cli.errors import WrongUsage

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
# One request: enough pictures that its own cost is spread, few enough bytes that it is quick to repeat.
MOST_FILES = 32
MOST_BYTES = 24_000_000
# Nothing takes a picture of this size, so its bytes are not even read.
TOO_LARGE_BYTES = 256_000_000
CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f]")
LONGEST_SOURCE = 1024


@dataclass(frozen=True, slots=True)
class Picture:
    """A file as it is sent. `source`: its path below the folder, with `/`."""

    source: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A picture that could not be read on this side, and why."""

    source: str
    reason: str


def require_folder(folder: Path) -> None:
    """Raises `WrongUsage` where there is no such folder or it can't be listed."""
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise WrongUsage(f"Can't read the folder {folder}: {error.strerror}.") from None


def picture_files(folder: Path, recursive: bool) -> Iterator[str | None]:
    """Paths below `folder` in the order of their names, and None for each file that is no picture by its suffix.

    Holds the names of one folder at a time. Links to folders are not followed: they may lead in circles.
    """
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        yield None  # a folder that may not be listed counts as one thing skipped
        return
    # What a sorted list of entries keeps of each file would add up: only the names stay.
    files = [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
    folders = [entry.name for entry in entries if recursive and entry.is_dir(follow_symlinks=False)]
    del entries
    for name in files:
        yield str(folder / name) if Path(name).suffix.lower() in SUFFIXES else None
    for name in folders:
        yield from picture_files(folder / name, recursive)


def requests_of(folder: Path, files: Iterable[str]) -> Iterator[list[Picture | Unreadable]]:
    """The files' bytes in groups of bounded count and size; a file larger than that goes alone."""
    group: list[Picture | Unreadable] = []
    size = 0
    for file in files:
        item = _read(folder, Path(file))
        length = len(item.content) if isinstance(item, Picture) else 0
        if group and (len(group) == MOST_FILES or size + length > MOST_BYTES):
            yield group
            group, size = [], 0
        group.append(item)
        size += length
    if group:
        yield group


def _read(folder: Path, file: Path) -> Picture | Unreadable:
    source = _source(file.relative_to(folder).as_posix())
    try:
        if not file.is_file():
            return Unreadable(source, "no regular file")
        if file.stat().st_size > TOO_LARGE_BYTES:
            return Unreadable(source, f"larger than {TOO_LARGE_BYTES // 1_000_000} MB")
        return Picture(source, file.read_bytes())
    except OSError as error:
        return Unreadable(source, error.strerror or "can't be read")


def _source(path: str) -> str:
    """The name that a picture is sent under. Nothing opens it again, so what the service would refuse in it (bytes that
    are no UTF-8, control characters, more than it keeps) must not cost the picture."""
    text = CONTROL_CHARACTERS.sub("\ufffd", os.fsencode(path).decode("utf-8", "replace"))
    return text[-LONGEST_SOURCE:]
