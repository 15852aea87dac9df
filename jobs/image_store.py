"""The image store: the bytes of pictures by their sha256, in a folder or a bucket, through fsspec."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

import fsspec
from fsspec.implementations.local import LocalFileSystem

from jobs.errors import ConfigurationError, PictureMissing, StoreUnavailable

# Beside the folders of the pictures (`jobs/annotated_pictures.py`).
ANNOTATED_FOLDER = "annotated"
# A temporary file of this age belongs to a process that crashed.
MAX_TEMPORARY_AGE_SECONDS = 3600.0


class ImageStore:
    """Content-addressed: the same bytes are stored once, and the content of a name never changes.

    In a local folder a picture appears as a whole or not at all, and survives a power cut: temporary file, fsync,
    rename, fsync of the folder. fsspec's local writer does no fsync, so this is done here. A PUT to a bucket is atomic.
    """

    def __init__(self, url: str) -> None:
        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise ConfigurationError(f"BOXQUEUE_STORE_URL: {error}") from error
        self._local = isinstance(self._files, LocalFileSystem)
        # Libraries for buckets raise errors of their own, which are not all an OSError.
        self._error_types: tuple[type[Exception], ...] = (OSError,) if self._local else (Exception,)

    def put(self, data: bytes, sha256: str) -> None:
        """Stores a picture, unless it is stored already. Raises `StoreUnavailable`."""
        self.put_many([(sha256, data)])

    def put_many(self, pictures: Iterable[tuple[str, bytes]]) -> None:
        """Stores several pictures, with one fsync for each folder. Raises `StoreUnavailable`."""
        folders: set[Path] = set()
        with self._map_errors("written"):
            for sha256, data in pictures:
                path = self._path(sha256)
                if self._local:
                    folders |= _write_local(Path(path), data)
                else:
                    self._files.pipe_file(path, data)
            for folder in folders:
                _fsync(folder)

    def get(self, sha256: str) -> bytes:
        """The bytes of a picture. Raises `PictureMissing` or `StoreUnavailable`."""
        data = self._read(sha256)
        if data is None:
            # If the whole store is missing, this is an outage, and the picture is not lost.
            self.check()
            self._check_not_empty()
            # The store may be back since the first read.
            data = self._read(sha256)
        if data is None:
            raise _missing(sha256)
        return data

    def _read(self, sha256: str) -> bytes | None:
        """None if there is no such picture, or no store. Raises `StoreUnavailable`."""
        path = self._path(sha256)
        with self._map_errors("read"), suppress(FileNotFoundError):
            return Path(path).read_bytes() if self._local else self._files.cat_file(path)
        return None

    def age_seconds(self, sha256: str) -> float:
        """Seconds since a picture was last put. Raises `PictureMissing` or `StoreUnavailable`."""
        with self._map_errors("read"), suppress(FileNotFoundError):
            modified: datetime = self._files.modified(self._path(sha256))
            return (datetime.now(UTC) - modified.astimezone(UTC)).total_seconds()
        raise _missing(sha256)

    def delete(self, sha256: str) -> None:
        """Deletes a picture, if it is there. Raises `StoreUnavailable`."""
        with self._map_errors("written"), suppress(FileNotFoundError):
            self._files.rm_file(self._path(sha256))

    def delete_old(self, sha256: str, seconds: float) -> None:
        """Deletes a picture unless it was put within the last `seconds`. Raises `StoreUnavailable`.

        In a local folder no put can come between the test of the age and the deletion. In a bucket it can.
        """
        if not self._local:
            with suppress(PictureMissing):
                if self.age_seconds(sha256) >= seconds:
                    self.delete(sha256)
            return
        path = Path(self._path(sha256))
        aside = _temporary(path)
        with self._map_errors("written"), suppress(FileNotFoundError):
            # A put after this rename writes the picture again. A put before it has renewed the date.
            path.rename(aside)
            if time.time() - aside.stat().st_mtime < seconds:
                aside.rename(path)
            else:
                aside.unlink()

    def prepare(self) -> None:
        """Creates the store's folder and removes old temporary files. Raises `StoreUnavailable`."""
        with self._map_errors("created"):
            self._files.makedirs(self._root, exist_ok=True)
            if self._local:
                _remove_leftovers(Path(self._root))

    def check(self) -> None:
        """Raises `StoreUnavailable` if the store does not answer."""
        # A bucket without an object has no folders.
        with self._map_errors("read"), suppress(FileNotFoundError):
            if not self._local:
                self._files.ls(self._root, detail=False)
            elif not Path(self._root).is_dir():
                raise StoreUnavailable(f"The image store's folder {self._root} is missing: is its disk mounted?")

    def _check_not_empty(self) -> None:
        """Raises `StoreUnavailable` if the store is empty: an unmounted disk leaves an empty folder.

        Drawn pictures do not count: one may have been kept after the disk was gone.
        """
        with self._map_errors("read"), suppress(FileNotFoundError):
            entries = self._files.ls(self._root, detail=False)
            if any(entry.rstrip("/").rpartition("/")[2] != ANNOTATED_FOLDER for entry in entries):
                return
        raise StoreUnavailable(f"The image store {self._root} is empty: is its disk mounted, its bucket right?")

    @contextmanager
    def _map_errors(self, done: str) -> Iterator[None]:
        """Raises errors of the store as `StoreUnavailable`. `done`: read, written or created, for the message."""
        try:
            yield
        except self._error_types as error:
            why = getattr(error, "strerror", None) or error
            raise StoreUnavailable(f"The image store can't be {done}: {why}") from error

    def _path(self, sha256: str) -> str:
        # Sixteen folders only, so that a request of some dozens of pictures takes few fsyncs.
        return f"{self._root}/{sha256[0]}/{sha256}"


def _missing(sha256: str) -> PictureMissing:
    return PictureMissing(f"The picture {sha256} is not in the image store any more. Upload it again.")


def _write_local(path: Path, data: bytes) -> set[Path]:
    """Writes one file durably. Returns the folders that still need an fsync, since they have new entries."""
    touched = {path.parent}
    with suppress(FileNotFoundError):
        # It is stored already. The new date keeps the retention from deleting it.
        os.utime(path)
        return touched
    try:
        path.parent.mkdir()
        touched.add(path.parent.parent)
    except FileExistsError:
        pass
    temporary = _temporary(path)
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
    return touched


def _temporary(path: Path) -> Path:
    # In the same folder, so that the rename stays within one file system. Random, because two containers that share a
    # folder may have the same process and thread ids.
    return path.parent / f".{path.name}.{token_hex(8)}"


def _remove_leftovers(root: Path) -> None:
    """Removes the temporary files of processes that crashed."""
    for leftover in root.glob("*/.*"):
        with suppress(FileNotFoundError):
            if time.time() - leftover.stat().st_mtime > MAX_TEMPORARY_AGE_SECONDS:
                leftover.unlink()


def _fsync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
