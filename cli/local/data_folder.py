"""The data folder of a service: there, writable, with room, and held by one service at a time."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.errors import CommandError

# With less than this a service need not be started: its database and its logs grow with every picture.
LEAST_FREE_MB = 64
# With less than this one that runs can't be trusted to write what it has to.
LEAST_LEFT_MB = 4


def has_room(folder: Path, least_mb: int) -> bool:
    return shutil.disk_usage(folder).free >= least_mb * 1e6


def require_room(folder: Path, least_mb: int) -> None:
    """Raises `CommandError` where the disk under `folder` is full, that is, has less than `least_mb` left."""
    if not has_room(folder, least_mb):
        free_mb = shutil.disk_usage(folder).free / 1e6
        raise CommandError(f"The disk under {folder} is full: {free_mb:.0f} MB are free, {least_mb} MB are needed.")


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Makes the folder and holds its lock. The kernel lets go of it however this process ends.

    Raises `CommandError` where another service holds it, it can't be written or the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "boxqueue.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise CommandError(f"Can't use the data folder {folder} (BOXQUEUE_DATA): {error.strerror}.") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 20, 0).decode(errors="replace").strip() or "unknown"
            raise CommandError(
                f"Another `boxqueue up` (process {holder}) uses the data folder {folder}: stop it, or choose another "
                "folder with BOXQUEUE_DATA."
            ) from None
        require_room(folder, LEAST_FREE_MB)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)
