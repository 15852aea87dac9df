"""Writes entries into catalogues, and leaves all else in them as a person wrote it."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path

import tomlkit

from detectors.catalogue import read_tables
from detectors.errors import CatalogueError, UnknownEntry


def home_of(name: str, catalogues: Sequence[Path]) -> Path:
    """The catalogue that has an entry of this name. Raises `CatalogueError`."""
    names: list[str] = []
    for path in catalogues:
        document = read_tables(path, tomlkit.parse)
        if name in document:
            return path
        names += document
    raise UnknownEntry(name, sorted(names))


def copy_entry(catalogue: Path, name: str, copy: str, changes: Mapping[str, str]) -> None:
    """Adds an entry like `name` to the catalogue, called `copy`, in which some fields are others.

    Raises `CatalogueError` where there is one of that name, or the file can't be written.
    """
    document = read_tables(catalogue, tomlkit.parse)
    if copy in document:
        raise CatalogueError(f"{catalogue} has a model {copy} already.")
    entry = deepcopy(document[name])
    for field, value in changes.items():
        entry[field] = value
    document.add(tomlkit.nl())
    document[copy] = entry
    try:
        # Beside it first: whoever reads it meanwhile sees the old or the new one.
        with tempfile.TemporaryDirectory(dir=catalogue.parent, prefix=".entry-") as folder:
            written = Path(folder) / catalogue.name
            written.write_text(tomlkit.dumps(document), encoding="utf-8")
            shutil.copymode(catalogue, written)
            written.replace(catalogue)
    except OSError as error:
        raise CatalogueError(f"{catalogue} can't be written: {error.strerror}.") from error
