"""Fetches model files from URIs through fsspec, once, and never leaves a partial file."""

import tempfile
from pathlib import Path

from fsspec.core import url_to_fs

from detectors.digest import digest_of, files_of
from detectors.errors import ModelUnusable


def fetch(uri: str, file: Path, sha256: str) -> None:
    """Fetches a file or folder from any URI that fsspec knows to `file`, unless something is there already. With an
    ONNX model comes its external data.

    Raises `ModelUnusable` if it can't be fetched or has another digest; then nothing is left of it. Raises `OSError` if
    the folder of `file` can't be written.
    """
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    # Into the same folder first, then renamed: so it appears complete, even if several workers fetch it at once.
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".fetch-") as temporary:
        folder = Path(temporary)
        found = folder / file.name
        try:
            system, path = url_to_fs(uri)
            system.get(path.rstrip("/"), str(found), recursive=system.isdir(path))
            beside = [] if found.is_dir() else [one.relative_to(folder) for one in files_of(found) if one != found]
            for name in beside:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                system.get(f"{path.rpartition('/')[0]}/{name}", str(folder / name))
            digest = digest_of(found)
        except (OSError, ImportError, ValueError) as error:
            raise ModelUnusable(f"{uri} can't be fetched: {error}") from error
        if digest != sha256:
            raise ModelUnusable(f"{uri} has sha256 {digest}, but the catalogue says {sha256}.")
        try:
            for name in beside:  # before the model itself, which says that all is there
                (file.parent / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).replace(file.parent / name)
            found.rename(file)
        except OSError:
            if not file.exists():  # otherwise another process was faster; a rename does not replace a folder
                raise
