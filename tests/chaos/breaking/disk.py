"""The disk of the pictures: a small tmpfs if this user may mount one, else a plain folder."""

import os
import shutil
import subprocess
from pathlib import Path

MEGABYTES = 256
FILLER = "filler"


class Disk:
    """The disk can be removed. It can be filled up too if it is a separate file system."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.own_file_system = False

    def make(self) -> None:
        self.path.mkdir()
        self.own_file_system = _mount(self.path)

    def take_away(self) -> None:
        """Puts a file in the place of the store's folder, so that nothing below it can be read or written."""
        images = self.path / "images"
        images.rename(self.path / "images-away")
        images.touch()

    def bring_back(self) -> None:
        images = self.path / "images"
        images.unlink()
        (self.path / "images-away").rename(images)

    def fill(self) -> None:
        """Writes until the disk is full."""
        with (self.path / FILLER).open("wb", buffering=0) as file:
            chunk = bytes(65536)
            while True:
                try:
                    file.write(chunk)
                except OSError:
                    if len(chunk) == 1:
                        return
                    chunk = bytes(max(1, len(chunk) // 16))

    def empty(self) -> None:
        (self.path / FILLER).unlink()

    def remove(self) -> None:
        if self.own_file_system:
            subprocess.run(["umount", "--lazy", str(self.path)], check=False, capture_output=True)
        shutil.rmtree(self.path, ignore_errors=True)


def _mount(path: Path) -> bool:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    options = f"size={MEGABYTES}m,nr_inodes=200000"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], check=False, capture_output=True)
    return done.returncode == 0
