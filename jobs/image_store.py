"""The image store: picture bytes under their sha256, in a folder or a bucket, through fsspec."""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

import fsspec

from jobs.errors import ConfigurationError, PictureMissing, StoreUnavailable

LEFTOVER_SECONDS = 3600.0


class ImageStore:
    """Content-addressed: the same bytes are kept once, and a name never changes its content.

    On a local folder a picture appears whole or not at all, and stays after a power cut: temporary file, fsync, rename,
    fsync of the folder. fsspec's own local writer does not fsync, so that much is done here. A bucket's PUT is atomic.
    """

    def __init__(self, url: str) -> None:
        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise ConfigurationError(f"BOXQUEUE_STORE_URL: {error}") from error
        self._local = "file" in _as_tuple(self._files.protocol)
        # Libraries of buckets have errors of their own: that of a host which does not answer is no OSError.
        self._faults: tuple[type[Exception], ...] = (OSError,) if self._local else (Exception,)

    def put(self, data: bytes, sha256: str) -> None:
        """Keeps `data`; does nothing where it is kept already. Raises `StoreUnavailable`."""
        self.put_many([(sha256, data)])

    def put_many(self, pictures: Iterable[tuple[str, bytes]]) -> None:
        """Keeps several pictures and makes each touched folder durable once. Raises `StoreUnavailable`."""
        folders: set[Path] = set()
        try:
            for sha256, data in pictures:
                path = self._path(sha256)
                if self._local:
                    folders |= _write_local(Path(path), data)
                else:
                    self._files.pipe_file(path, data)
            for folder in folders:
                _fsync(folder)
        except self._faults as error:
            raise StoreUnavailable(f"The image store can't be written: {_why(error)}") from error

    def get(self, sha256: str) -> bytes:
        """The bytes of a picture. Raises `PictureMissing` or `StoreUnavailable`."""
        data = self._read(sha256)
        if data is None:
            # A whole store that is away is an outage, not a picture that is gone.
            self.check()
            self._check_not_empty()
            # It may have come back since.
            data = self._read(sha256)
        if data is None:
            raise PictureMissing(f"The picture {sha256} is not in the image store any more.")
        return data

    def _read(self, sha256: str) -> bytes | None:
        """None where there is no such picture, or no store. Raises `StoreUnavailable`."""
        path = self._path(sha256)
        try:
            return Path(path).read_bytes() if self._local else self._files.cat_file(path)
        except FileNotFoundError:
            return None
        except self._faults as error:
            raise StoreUnavailable(f"The image store can't be read: {_why(error)}") from error

    def age_seconds(self, sha256: str) -> float:
        """Seconds since a picture was last put. Raises `PictureMissing` or `StoreUnavailable`."""
        try:
            modified: datetime = self._files.modified(self._path(sha256))
        except FileNotFoundError:
            raise PictureMissing(f"The picture {sha256} is not in the image store any more.") from None
        except self._faults as error:
            raise StoreUnavailable(f"The image store can't be read: {_why(error)}") from error
        return (datetime.now(UTC) - modified.astimezone(UTC)).total_seconds()

    def delete(self, sha256: str) -> None:
        """Forgets a picture; does nothing where it is gone already. Raises `StoreUnavailable`."""
        try:
            self._files.rm_file(self._path(sha256))
        except FileNotFoundError:
            return
        except self._faults as error:
            raise StoreUnavailable(f"The image store can't be written: {_why(error)}") from error

    def delete_old(self, sha256: str, seconds: float) -> None:
        """Forgets a picture unless it was put again within the last `seconds`. Raises `StoreUnavailable`.

        On a local folder no put can come between the look and the deletion. A bucket has no such means.
        """
        if not self._local:
            with suppress(PictureMissing):
                if self.age_seconds(sha256) >= seconds:
                    self.delete(sha256)
            return
        path = Path(self._path(sha256))
        aside = _temporary(path)
        try:
            # Whoever puts it from here on does not find it and writes it anew; whoever did before has dated it.
            path.rename(aside)
            if time.time() - aside.stat().st_mtime < seconds:
                aside.rename(path)
            else:
                aside.unlink()
        except FileNotFoundError:
            return
        except self._faults as error:
            raise StoreUnavailable(f"The image store can't be written: {_why(error)}") from error

    def prepare(self) -> None:
        """Makes the store's folder. Raises `StoreUnavailable`."""
        try:
            self._files.makedirs(self._root, exist_ok=True)
            if self._local:
                _remove_leftovers(Path(self._root))
        except self._faults as error:
            raise StoreUnavailable(f"The image store can't be made: {_why(error)}") from error

    def check(self) -> None:
        """Raises `StoreUnavailable` where the store does not answer."""
        try:
            if self._local and not Path(self._root).is_dir():
                raise StoreUnavailable(f"The image store's folder {self._root} is not there.")
            if not self._local:
                self._files.ls(self._root, detail=False)
        except FileNotFoundError:
            return  # a bucket without an object yet has no such folder
        except self._faults as error:
            raise StoreUnavailable(f"The image store can't be read: {_why(error)}") from error

    def _check_not_empty(self) -> None:
        """Raises `StoreUnavailable` where there is nothing at all: an unmounted disk leaves such a folder."""
        try:
            empty = not self._files.ls(self._root, detail=False)
        except FileNotFoundError:
            empty = True
        except self._faults as error:
            raise StoreUnavailable(f"The image store can't be read: {_why(error)}") from error
        if empty:
            raise StoreUnavailable(f"The image store {self._root} is empty: is its disk mounted, its bucket right?")

    def _path(self, sha256: str) -> str:
        # Sixteen folders: few enough that a request of some dozens of pictures fsyncs each once.
        return f"{self._root}/{sha256[0]}/{sha256}"


def _why(error: Exception) -> object:
    return getattr(error, "strerror", None) or error


def _as_tuple(protocol: Any) -> tuple[str, ...]:
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _write_local(path: Path, data: bytes) -> set[Path]:
    """Writes one file durably but for its folder's entry: gives the folders that still have to be fsynced."""
    touched = {path.parent}
    with suppress(FileNotFoundError):
        # There already. The new date tells the housekeeping that it is wanted again.
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
    # Beside its place, so that the rename is within one file system. Of this writer alone: two containers that share a
    # folder have the same process and thread numbers.
    return path.parent / f".{path.name}.{token_hex(8)}"


def _remove_leftovers(root: Path) -> None:
    """Temporary files of writers that died. One that is an hour old is nobody's any more."""
    for leftover in root.glob("?/.*"):
        with suppress(FileNotFoundError):
            if time.time() - leftover.stat().st_mtime > LEFTOVER_SECONDS:
                leftover.unlink()


def _fsync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
