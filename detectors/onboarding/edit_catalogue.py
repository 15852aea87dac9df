"""Writes entries into catalogues, and keeps everything else in them as it is, comments too."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.items import Item, Table

from detectors.catalogue import read_tables
from detectors.errors import CatalogueError, UnknownModel


@dataclass(frozen=True)
class Guess:
    """A value of an entry that may be wrong, and the comment that says what to check."""

    value: Any
    comment: str


def find_catalogue(name: str, catalogues: Sequence[Path]) -> Path:
    """The catalogue that has an entry of this name. Raises `CatalogueError`, or `UnknownModel` if none has it."""
    names: list[str] = []
    for path in catalogues:
        document = read_tables(path, tomlkit.parse)
        if name in document:
            return path
        names += document
    raise UnknownModel(name, sorted(names))


def copy_entry(catalogue: Path, name: str, copy: str, changes: Mapping[str, str]) -> None:
    """Adds a copy of the entry `name` to the catalogue, named `copy`, with changed fields.

    Raises `CatalogueError` if the name `copy` is taken, or the file can't be written.
    """
    entry = deepcopy(read_tables(catalogue, tomlkit.parse)[name])
    for field, value in changes.items():
        entry[field] = value
    add_entry(catalogue, copy, entry)


def add_entry(catalogue: Path, name: str, entry: Item, *, replace: bool = False) -> None:
    """Adds an entry to the catalogue, and creates the catalogue if there is none. `replace`: an entry of that name may
    be there; the new one takes its place.

    Raises `CatalogueError` if the name is taken, or the file can't be written.
    """
    new = not catalogue.exists()
    document = tomlkit.document() if new else read_tables(catalogue, tomlkit.parse)
    if name in document and not replace:
        raise CatalogueError(f"{catalogue} already has a model {name}.")
    if document and name not in document:
        document.add(tomlkit.nl())
    document[name] = entry
    try:
        # Into the same folder first, then renamed: a reader sees either the old or the new catalogue.
        with tempfile.TemporaryDirectory(dir=catalogue.parent, prefix=".entry-") as folder:
            written = Path(folder) / catalogue.name
            written.write_text(tomlkit.dumps(document), encoding="utf-8")
            if not new:
                shutil.copymode(catalogue, written)
            written.replace(catalogue)
    except OSError as error:
        raise CatalogueError(f"{catalogue} can't be written: {error.strerror}.") from error


def table_of(fields: Mapping[str, Any]) -> Table:
    """The TOML table of an entry and its subtables; inferred values have their comments."""
    table = tomlkit.table()
    for name, value in fields.items():
        if isinstance(value, Mapping):
            table.add(name, table_of(value))
        elif isinstance(value, Guess):
            table.add(name, tomlkit.item(value.value).comment(value.comment))
        else:
            table.add(name, value)
    return table
