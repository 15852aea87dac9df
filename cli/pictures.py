"""Finds the pictures of a folder, and groups them into requests."""

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cli.errors import WrongUsage
from detectors.pictures.signatures import HEAD_BYTES, media_type_of

# Files with these endings are sent whatever they have in them, so that a damaged picture is reported and not skipped.
# Other files are pictures if their first bytes say so.
SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .bmp .gif .tif .tiff .heic .heif .hif .avif".split()  # noqa: SIM905
)
# What systems and programs put beside a user's pictures. Names that begin with a dot are left out as well.
LEFT_OUT = frozenset({"@eaDir", "__MACOSX", "Thumbs.db", "desktop.ini", "$RECYCLE.BIN", "#recycle", "lost+found"})
# One request: enough pictures to spread its cost, few enough bytes to repeat it quickly.
MAX_FILES = 32
MAX_BYTES = 24_000_000
# No service accepts a larger picture, so it is not read.
TOO_LARGE_BYTES = 256_000_000
CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f]")
MAX_SOURCE_LENGTH = 1024
# Codes of files that do not become jobs.
UNREADABLE, NO_PICTURE, NO_FILE, TOO_LARGE = "unreadable", "not_a_picture", "not_a_file", "picture_too_large"


@dataclass(frozen=True, slots=True)
class Picture:
    """A file to send. `source`: its path below the folder, with `/`."""

    source: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Unsent:
    """A file that does not become a job, and why."""

    source: str
    status: Literal["failed", "skipped"]
    code: str
    message: str


def require_folder(folder: Path) -> None:
    """Raises `WrongUsage` if the folder does not exist or can't be listed."""
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise WrongUsage(f"Can't read the folder {folder}: {error.strerror}.") from None


def files_below(folder: Path, recursive: bool, left_out: Counter[str] | None = None) -> Iterator[str]:
    """Paths of the files in `folder` sorted by name; also of folders that can't be listed.

    What is left out is counted in `left_out`, by its name; folders are counted once, and not walked. Keeps the names of
    one folder at a time. Does not follow links to folders, because they may form a cycle.
    """
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        yield str(folder)
        return
    # Directory entries take much more memory than names, so only the names are kept.
    files, folders = [], []
    for entry in entries:
        is_folder = entry.is_dir(follow_symlinks=False)
        if entry.name.startswith(".") or entry.name in LEFT_OUT:
            if left_out is not None and (recursive or not is_folder):
                left_out[entry.name + ("/" if is_folder else "")] += 1
        elif not is_folder:
            files.append(entry.name)
        elif recursive:
            folders.append(entry.name)
    del entries
    for name in files:
        yield str(folder / name)
    for name in folders:
        yield from files_below(folder / name, recursive, left_out)


def ending_of(source: str) -> str:
    """The ending of a file's name in lower case, for example `.txt`; `no ending` if it has none."""
    return Path(source).suffix.lower() or "no ending"


def may_be_picture(file: Path) -> bool:
    """Whether a file's name or its first bytes say that it is a picture."""
    if file.suffix.lower() in SUFFIXES:
        return True
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            return False
        with file.open("rb") as stream:
            return media_type_of(stream.read(HEAD_BYTES)) is not None
    except OSError:
        return False


def requests_of(folder: Path, files: Iterable[str]) -> Iterator[list[Picture | Unsent]]:
    """Reads the files into groups of at most MAX_FILES and MAX_BYTES; a larger file is a group of its own."""
    group: list[Picture | Unsent] = []
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


def _read(folder: Path, file: Path) -> Picture | Unsent:
    source = _source(file.relative_to(folder).as_posix())
    try:
        found = file.stat()
        if stat.S_ISDIR(found.st_mode) and not file.is_symlink():
            os.scandir(file).close()  # raises why it can't be listed
        if not stat.S_ISREG(found.st_mode):
            return Unsent(source, "skipped", NO_FILE, "It is no regular file.")
        if not may_be_picture(file):
            return Unsent(source, "skipped", NO_PICTURE, "Neither its name nor its first bytes are those of a picture.")
        if found.st_size > TOO_LARGE_BYTES:
            most = TOO_LARGE_BYTES // 1_000_000
            return Unsent(source, "failed", TOO_LARGE, f"It is larger than {most} MB, which no service accepts.")
        return Picture(source, file.read_bytes())
    except OSError as error:
        return Unsent(source, "failed", UNREADABLE, error.strerror or str(error))


def _source(path: str) -> str:
    """The name that is sent with a picture. It is for display only, so it is repaired instead of refused: invalid UTF-8
    and control characters are replaced, and only the last MAX_SOURCE_LENGTH characters are kept."""
    text = CONTROL_CHARACTERS.sub("\ufffd", os.fsencode(path).decode("utf-8", "replace"))
    return text[-MAX_SOURCE_LENGTH:]
