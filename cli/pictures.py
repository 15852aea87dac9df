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
# What systems and programs put beside a user's pictures. Hidden files and folders are left out as well.
_SYSTEM = "$RECYCLE.BIN", "System Volume Information", "lost+found", "Thumbs.db", "ehthumbs.db", "desktop.ini"
_STORAGE = "@eaDir", "@tmp", "@Recycle", "@Recently-Snapshot", "#recycle", "#snapshot"  # of Synology and QNAP
LEFT_OUT = {name.lower(): name for name in (*_SYSTEM, *_STORAGE, "__MACOSX", ".git", ".DS_Store", ".thumbnails")}
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
    """Paths of the files in `folder` and then of those in each folder below it, sorted by name; also of folders that
    can't be listed.

    What is left out is counted in `left_out`, by its kind; a folder is counted once, and not walked. Keeps the names of
    one folder at a time. Does not follow links to folders, because they may form a cycle.
    """
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        # Directory entries take much more memory than names, so only the names are kept.
        files, folders, others = list[str](), list[str](), Counter[str]()
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    is_folder = entry.is_dir(follow_symlinks=False)
                    if is_folder and not recursive:
                        continue
                    if kind := left_out_as(entry.name):
                        others[kind] += 1
                    else:
                        (folders if is_folder else files).append(entry.name)
        except OSError:
            yield str(here)
            continue
        if left_out is not None:
            left_out.update(others)
        for name in sorted(files):
            yield str(here / name)
        waiting += [here / name for name in sorted(folders, reverse=True)]  # the last one is next


def left_out_as(name: str) -> str | None:
    """The kind of a file or folder that is never a user's picture; None for all others."""
    if name.startswith("._"):
        return "._*"  # what macOS writes beside each file on foreign disks
    return LEFT_OUT.get(name.lower()) or ("hidden" if name.startswith(".") else None)


def ending_of(source: str) -> str:
    """The ending of a file's name in lower case, for example `.txt`; `no ending` if it has none."""
    return Path(source).suffix.lower() or "no ending"


def may_be_picture(file: Path) -> bool:
    """Whether a file is a picture, or can't be read, so that it has to be reported."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            return False
        with file.open("rb", buffering=0) as stream:
            return _is_picture(file, stream.read(HEAD_BYTES))
    except OSError:
        return True


def _is_picture(file: Path, head: bytes) -> bool:
    """`head`: the first HEAD_BYTES bytes of the file."""
    return file.suffix.lower() in SUFFIXES or media_type_of(head) is not None


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
            return Unsent(source, "failed", UNREADABLE, "The folder could not be listed.")
        if not stat.S_ISREG(found.st_mode):
            return Unsent(source, "skipped", NO_FILE, "It is no regular file.")
        with file.open("rb", buffering=0) as stream:
            if not _is_picture(file, stream.read(HEAD_BYTES)):
                message = "Neither its name nor its first bytes are those of a picture."
                return Unsent(source, "skipped", NO_PICTURE, message)
            if found.st_size > TOO_LARGE_BYTES:
                most = TOO_LARGE_BYTES // 1_000_000
                return Unsent(source, "failed", TOO_LARGE, f"It is larger than {most} MB, which no service accepts.")
            stream.seek(0)
            return Picture(source, stream.read())
    except OSError as error:
        return Unsent(source, "failed", UNREADABLE, error.strerror or str(error))


def _source(path: str) -> str:
    """The name that is sent with a picture. It is for display only, so it is repaired instead of refused: invalid UTF-8
    and control characters are replaced, and only the last MAX_SOURCE_LENGTH characters are kept."""
    text = CONTROL_CHARACTERS.sub("\ufffd", os.fsencode(path).decode("utf-8", "replace"))
    return text[-MAX_SOURCE_LENGTH:]
