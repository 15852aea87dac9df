"""Catalogues for tests, written as TOML. Fields that a test does not set have default values."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit

Entry = dict[str, Any]
NO_SHA256 = "0" * 64
"""For a model whose file is never read."""
_FILE_ENTRY: Entry = {
    "runtime": "pytorch",
    "format": "pt2",
    "file": "model.pt2",
    "sha256": NO_SHA256,
    "labels": ["box"],
    "input": {"width": 32, "height": 32},
}
# As `tests.fake_model_server` answers.
_SERVER_ENTRY: Entry = {
    "runtime": "remote",
    "format": "oip",
    "labels": ["box"],
    "server": {"url": "http://127.0.0.1:9", "model": "cards"},
    "input": {"name": "image", "width": 32, "height": 32, "layout": "NHWC", "dtype": "uint8"},
    "output": {"boxes": "boxes", "scores": "scores", "classes": "classes"},
}


def entry(**fields: Any) -> Entry:
    """The entry of a model in a file. `fields` replace its default values; None removes a field."""
    return _merged(_FILE_ENTRY, fields)


def server_entry(url: str, *, server: Mapping[str, Any] | None = None, **fields: Any) -> Entry:
    """The entry of a model on a server. `server` has more fields of its table `server`."""
    at = {**_SERVER_ENTRY["server"], "url": url, **(server or {})}
    return _merged(_SERVER_ENTRY, {"server": at, **fields})


def text(entries: Mapping[str, Entry]) -> str:
    """Name -> entry, as TOML."""
    return tomlkit.dumps(entries)


def write(path: Path, entries: Mapping[str, Entry]) -> Path:
    path.write_text(text(entries))
    return path


def _merged(entry: Entry, fields: Mapping[str, Any]) -> Entry:
    merged = {**copy.deepcopy(entry), **fields}
    return {name: value for name, value in merged.items() if value is not None}
