"""The data folder of a service: there, writable, with room, and held by one service at a time."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.errors import CommandError

# Below this the database and the logs of a service can't be trusted to grow even for a minute.
LEAST_FREE_MB = 64


def require_room(folder: Path) -> None:
    """Raises `CommandError` where the disk under `folder` is full."""
    free_mb = shutil.disk_usage(folder).free / 1e6
    if free_mb < LEAST_FREE_MB:
        raise CommandError(f"The disk under {folder} is full: {free_mb:.0f} MB are free, {LEAST_FREE_MB} are needed.")


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
        require_room(folder)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)
