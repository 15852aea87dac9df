"""Pictures in Amazon S3."""

from typing import Any

import fsspec

from engine.inspection import check_size
from jobs.errors import PictureMissing, PictureTooLarge, StoreUnavailable

SCHEME = "s3://"


class Buckets:
    """Reads objects with the credentials of the function's role. It connects when the first object is read."""

    def __init__(self, max_bytes: float) -> None:
        """`max_bytes`: the largest object that is read."""
        self._max_bytes = max_bytes
        self._files: Any = None

    def read(self, bucket: str, key: str, version: str | None = None) -> bytes:
        """The bytes of an object, or of one version of it.

        Raises `PictureMissing`, `PictureTooLarge` (before anything is read) or `StoreUnavailable`.
        """
        path = f"{bucket}/{key}"
        try:
            if self._files is None:
                self._files = fsspec.filesystem("s3", version_aware=True, use_listings_cache=False)
            entry = self._files.info(path, version_id=version)
            if entry["type"] != "file":
                raise FileNotFoundError(path)
            check_size(entry["size"], self._max_bytes)
            # Without `end`, s3fs would request the size again, and that of the latest version.
            return self._files.cat_file(path, version_id=version, start=0, end=entry["size"]) if entry["size"] else b""
        except FileNotFoundError:
            raise PictureMissing(f"{SCHEME}{path} does not exist, or was deleted.") from None
        except PictureTooLarge:
            raise
        except Exception as error:  # libraries of object stores raise errors that are no OSError
            raise StoreUnavailable(f"{SCHEME}{path} can't be read: {error}") from error
