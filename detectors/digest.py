"""The digest of a model's file or folder. `python -m detectors.digest PATH …` prints it for a catalogue's `sha256`."""

import hashlib
import os
import sys
from pathlib import Path

from detectors.external_data import external_data_of


def digest_of(path: Path) -> str:
    """sha256 in hex: of a file's bytes; of several files, of the listing that `sha256sum` prints of them.

    Several files are those of a folder, and an ONNX file with its external data. The listing has a line
    `<sha256>  <path relative to the folder>` for each file, sorted by the bytes of the path:
    `cd FOLDER && find . -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum`. Empty folders
    do not count. Raises `OSError`.
    """
    files = files_of(path)
    if files == [path]:
        return _digest_of_file(path)
    folder = path if path.is_dir() else path.parent
    names = sorted(os.fsencode(file.relative_to(folder)) for file in files)
    lines = (_digest_of_file(folder / os.fsdecode(name)).encode() + b"  " + name + b"\n" for name in names)
    return hashlib.sha256(b"".join(lines)).hexdigest()


def files_of(path: Path) -> list[Path]:
    """All files of a model, sorted: those of a folder, or a file with its external data. They may be missing."""
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    try:
        return sorted([path, *(external_data_of(path) if path.suffix == ".onnx" else [])])
    except (OSError, ValueError):
        return [path]  # whoever opens it tells what is wrong with it


def _digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stamps_of(path: Path) -> list[tuple[str, int, int, int]]:
    """Name, time of change in ns, bytes and inode of all files of a model.

    They differ after a file was replaced, and cost no reading of weights. Empty if there is no such file.
    """
    stats = [(str(file), file.stat()) for file in files_of(path) if file.is_file()]
    return [(name, stat.st_mtime_ns, stat.st_size, stat.st_ino) for name, stat in stats]


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        sys.stdout.write(f"{digest_of(Path(argument))}  {argument}\n")
