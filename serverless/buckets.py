"""Pictures in Amazon S3, as events name them."""

from typing import Any

import fsspec

from engine.inspection import check_size
from jobs.errors import PictureMissing, PictureTooLarge, StoreUnavailable

SCHEME = "s3://"


class Buckets:
    """Reads objects with the credentials of the function's role. Nothing connects before the first one."""

    def __init__(self, max_bytes: float) -> None:
        self._max_bytes = max_bytes
        self._files: Any = None

    def read(self, bucket: str, key: str, version: str | None = None) -> bytes:
        """The bytes of an object, of one version of it where that is named.

        Raises `PictureMissing`, `PictureTooLarge` before anything is read, or `StoreUnavailable`.
        """
        path = f"{bucket}/{key}"
        try:
            if self._files is None:
                self._files = fsspec.filesystem("s3", version_aware=True, use_listings_cache=False)
            found = self._files.info(path, version_id=version)
            if found["type"] != "file":
                raise FileNotFoundError(path)
            check_size(found["size"], self._max_bytes)
            # With its end, or s3fs asks for the size once more, and of the latest version.
            return self._files.cat_file(path, version_id=version, start=0, end=found["size"]) if found["size"] else b""
        except FileNotFoundError:
            raise PictureMissing(f"{SCHEME}{path} is not there, or not any more.") from None
        except PictureTooLarge:
            raise
        except Exception as error:  # libraries of buckets have errors of their own beside OSError
            raise StoreUnavailable(f"{SCHEME}{path} can't be read: {error}") from error
