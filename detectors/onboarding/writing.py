"""Writes entries into catalogues, and leaves all else in them as a person wrote it."""

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
    """A value of an entry that may have to be another, and what a person should know of it."""

    value: Any
    remark: str


def home_of(name: str, catalogues: Sequence[Path]) -> Path:
    """The catalogue that has an entry of this name. Raises `CatalogueError`."""
    names: list[str] = []
    for path in catalogues:
        document = read_tables(path, tomlkit.parse)
        if name in document:
            return path
        names += document
    raise UnknownModel(name, sorted(names))


def copy_entry(catalogue: Path, name: str, copy: str, changes: Mapping[str, str]) -> None:
    """Adds an entry like `name` to the catalogue, called `copy`, in which some fields are others.

    Raises `CatalogueError` where there is one of that name, or the file can't be written.
    """
    entry = deepcopy(read_tables(catalogue, tomlkit.parse)[name])
    for field, value in changes.items():
        entry[field] = value
    add_entry(catalogue, copy, entry)


def add_entry(catalogue: Path, name: str, entry: Item) -> None:
    """Adds an entry to the catalogue, which is made where there is none.

    Raises `CatalogueError` where there is one of that name, or the file can't be written.
    """
    new = not catalogue.exists()
    document = tomlkit.document() if new else read_tables(catalogue, tomlkit.parse)
    if name in document:
        raise CatalogueError(f"{catalogue} has a model {name} already.")
    if document:
        document.add(tomlkit.nl())
    document[name] = entry
    try:
        # Beside it first: whoever reads it meanwhile sees the old or the new one.
        with tempfile.TemporaryDirectory(dir=catalogue.parent, prefix=".entry-") as folder:
            written = Path(folder) / catalogue.name
            written.write_text(tomlkit.dumps(document), encoding="utf-8")
            if not new:
                shutil.copymode(catalogue, written)
            written.replace(catalogue)
    except OSError as error:
        raise CatalogueError(f"{catalogue} can't be written: {error.strerror}.") from error


def table_of(fields: Mapping[str, Any]) -> Table:
    """The table of an entry, with tables below it; beside a guess stands its remark."""
    table = tomlkit.table()
    for name, value in fields.items():
        if isinstance(value, Mapping):
            table.add(name, table_of(value))
        elif isinstance(value, Guess):
            table.add(name, tomlkit.item(value.value).comment(value.remark))
        else:
            table.add(name, value)
    return table
