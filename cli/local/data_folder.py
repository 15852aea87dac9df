"""The data folder of a service: it has to be writable, with free space, and locked by one service at a time."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.errors import CommandError

# With less free space, a service does not start: its database and its logs grow with every picture.
MIN_FREE_MB_TO_START = 64
# With less free space, a running service may fail to write its database or its logs.
MIN_FREE_MB = 4


def has_room(folder: Path, least_mb: int) -> bool:
    return shutil.disk_usage(folder).free >= least_mb * 1e6


def require_room(folder: Path, least_mb: int) -> None:
    """Raises `CommandError` if the disk of `folder` has less than `least_mb` left."""
    if not has_room(folder, least_mb):
        free_mb = shutil.disk_usage(folder).free / 1e6
        raise CommandError(f"The disk under {folder} is full: {free_mb:.0f} MB are free, {least_mb} MB are needed.")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Creates the folder and locks it. The kernel releases the lock when this process ends, even after a crash.

    Raises `CommandError` if another service has the lock, the folder can't be written or the disk is full.
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
        require_room(folder, MIN_FREE_MB_TO_START)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)
