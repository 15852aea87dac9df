"""Model files that lie elsewhere: fetched once through fsspec, and never half there."""

import tempfile
from pathlib import Path

from fsspec.core import url_to_fs

from detectors.digest import digest_of
from detectors.errors import ModelUnusable


def fetch(uri: str, file: Path, sha256: str) -> None:
    """Brings a file or folder from any URI that fsspec knows, unless it is here already.

    Raises `ModelUnusable` where it can't be had, or is not the one with this digest; then nothing is left of it.
    """
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    # Beside its place, so that it gets there by a rename: complete, also where several workers fetch it at once.
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".fetch-") as folder:
        found = Path(folder) / file.name
        try:
            system, path = url_to_fs(uri)
            system.get(path.rstrip("/"), str(found), recursive=system.isdir(path))
            digest = digest_of(found)
        except (OSError, ImportError, ValueError) as error:
            raise ModelUnusable(f"{uri} can't be fetched: {error}") from error
        if digest != sha256:
            raise ModelUnusable(f"{uri} has sha256 {digest}, but the catalogue says {sha256}.")
        try:
            found.rename(file)
        except OSError:
            if not file.exists():  # a folder does not replace another: somebody was quicker
                raise
