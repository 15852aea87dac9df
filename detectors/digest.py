"""The digest of a model's file or folder. `python -m detectors.digest PATH …` prints it for a catalogue's `sha256`."""

import hashlib
import os
import sys
from pathlib import Path


def digest_of(path: Path) -> str:
    """sha256 in hex: of a file's bytes; of a folder, of the listing that `sha256sum` prints of all files in it.

    The listing has a line `<sha256>  <path relative to the folder>` for each file, sorted by the bytes of the path:
    `cd FOLDER && find . -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum`. Empty folders
    do not count. Raises `OSError`.
    """
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    names = sorted(os.fsencode(found.relative_to(path)) for found in path.rglob("*") if found.is_file())
    lines = (digest_of(path / os.fsdecode(name)).encode() + b"  " + name + b"\n" for name in names)
    return hashlib.sha256(b"".join(lines)).hexdigest()


def stamps_of(path: Path) -> list[tuple[str, int, int, int]]:
    """Name, time of change in ns, bytes and inode of a file, or of all files in a folder.

    They differ after a file was replaced, and cost no reading. Empty if there is no such file.
    """
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    stats = [(str(file), file.stat()) for file in files if file.is_file()]
    return [(name, stat.st_mtime_ns, stat.st_size, stat.st_ino) for name, stat in stats]


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        sys.stdout.write(f"{digest_of(Path(argument))}  {argument}\n")
