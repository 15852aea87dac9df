"""The one list of models: `weights/catalogue.toml`, or the files that BOXQUEUE_CATALOGUE names. No framework here."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import ValidationError

from detectors.catalogue.entries import ModelEntry
from detectors.catalogue.labels import read_labels
from detectors.errors import CatalogueError, UnknownModel

Tables = TypeVar("Tables", bound=Mapping[str, Any])


@dataclass(frozen=True)
class Catalogue:
    """Models by name. `aliases` are other names for them."""

    entries: Mapping[str, ModelEntry]
    aliases: Mapping[str, str]

    def get(self, name: str) -> ModelEntry:
        """The entry of that name or alias. Raises `UnknownModel`."""
        entry = self.entries.get(self.aliases.get(name, name))
        if entry is None:
            raise UnknownModel(name, sorted([*self.entries, *self.aliases]))
        return entry

    def entries_for_runtime(self, runtime: str) -> dict[str, ModelEntry]:
        """The entries that the workers of one queue serve."""
        return {name: entry for name, entry in self.entries.items() if entry.runtime == runtime}

    @classmethod
    def load(cls, *paths: Path, aliases: Mapping[str, str] | None = None, cache: Path = Path("data/models")) -> Self:
        """Reads catalogues as one. Model files that are named by a URI are fetched into `cache` later.

        Raises `CatalogueError`, which names the file, the entry and the field.
        """
        entries: dict[str, ModelEntry] = {}
        for path in paths:
            for name, table in read_tables(path, tomllib.loads).items():
                if name in entries:
                    raise CatalogueError(f"{path}, model {name}: another catalogue has a model of this name already.")
                entries[name] = read_entry(path, name, table, cache)
        for alias, target in (aliases or {}).items():
            if target not in entries:
                raise CatalogueError(
                    f"BOXQUEUE_MODEL_ALIASES: {alias} stands for {target}, which the catalogue does not have. "
                    f"It has {', '.join(sorted(entries)) or 'no models'}."
                )
            if alias in entries:
                raise CatalogueError(f"BOXQUEUE_MODEL_ALIASES: {alias} is the name of a model in the catalogue itself.")
        return cls(entries, dict(aliases or {}))


def read_tables(path: Path, parse: Callable[[str], Tables]) -> Tables:
    """What a parser of TOML makes of a catalogue. Raises `CatalogueError`."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CatalogueError(f"The catalogue {path} can't be read: {error.strerror}.") from error
    except ValueError as error:  # from the parser, or for text that is not UTF-8
        raise CatalogueError(f"The catalogue {path} is not valid TOML: {error}.") from error


# Defaults for the models of a format. torchvision's models scale their pictures themselves, have the background as
# class 0, and name their outputs.
FORMAT_DEFAULTS: dict[str, dict[str, dict[str, Any]]] = {
    "torchvision": {
        "input": {"width": 1333, "height": 1333, "resize": "none", "layout": "NHWC", "dtype": "uint8"},
        "output": {"boxes": "boxes", "scores": "scores", "classes": "labels", "first_class": 1},
    }
}


def read_entry(path: Path, name: str, table: Any, cache: Path) -> ModelEntry:
    """An entry of the catalogue at `path`. Raises `CatalogueError`."""
    if not isinstance(table, dict):
        raise CatalogueError(f"{path}: {name} must be a table, [{name}].")
    fields = {"name": name, **table}
    try:
        fields |= _labels(path, table.get("labels"))
        for part, usual in FORMAT_DEFAULTS.get(str(table.get("format")), {}).items():
            left_out = {"first_class"} if "ids" in fields else set()
            fields[part] = {name: value for name, value in usual.items() if name not in left_out} | table.get(part, {})
        entry = ModelEntry.model_validate(fields)
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(str(part) for part in fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        raise CatalogueError(f"{path}, model {name}{field and f', field {field}'}: {message}.") from error
    except (CatalogueError, ValueError) as error:
        raise CatalogueError(f"{path}, model {name}, field labels: {error}") from error
    if entry.server is not None:
        return entry
    if "://" not in (uri := str(table["file"])):
        return entry.model_copy(update={"file": path.parent / entry.file})
    return entry.model_copy(update={"source": uri, "file": cache / entry.sha256 / entry.file.name})


def _labels(path: Path, labels: Any) -> dict[str, Any]:
    """`labels` may be a list, a table id -> label, or the name of a file that has either. Raises `CatalogueError`, or
    ValueError if an id is no number."""
    found = read_labels(path.parent / labels) if isinstance(labels, str) else labels
    if not isinstance(found, Mapping):
        return {} if found is None else {"labels": found}
    by_id = sorted((int(number), label) for number, label in found.items())
    return {"ids": [number for number, _ in by_id], "labels": [label for _, label in by_id]}
