"""`python docker/models.py MODEL [TARGET_API]`: puts the models of an image into /app/weights while it is built.

MODEL is `embedded` (what the checkout has), `none` (an empty catalogue: the image is given one when it runs), or
URI@sha256: a folder with a `catalogue.toml` and all that it names, and the digest that `python -m detectors.digest`
prints for it. With TARGET_API, only the entries of that target stay, and their files are verified. Without it, all
entries stay and their files go: the API lists the models and runs none.
"""

import shutil
import sys

import tomlkit

from detectors.catalogue import Catalogue, ModelEntry
from detectors.catalogue.fetch import fetch
from detectors.catalogue.targets import TARGETS, entries_for_target
from detectors.digest import files_of
from detectors.errors import DetectorError
from jobs.settings import ROOT

WEIGHTS = ROOT / "weights"
CATALOGUE = WEIGHTS / "catalogue.toml"


def place(model: str) -> None:
    """Fills the folder. Raises `ModelUnusable` if the URI can't be fetched or has another digest."""
    if model == "embedded":
        return
    shutil.rmtree(WEIGHTS)
    if model == "none":
        WEIGHTS.mkdir()
        CATALOGUE.touch()
        return
    uri, _, sha256 = model.rpartition("@")
    fetch(uri, WEIGHTS, sha256)


def keep(target: str | None) -> None:
    """Removes the entries and the files that this image does not use. Raises a `DetectorError` if a file is not what
    its entry says."""
    entries = Catalogue.load(CATALOGUE, cache=WEIGHTS).entries
    document = tomlkit.parse(CATALOGUE.read_text(encoding="utf-8"))
    kept = entries if target is None else entries_for_target(entries, target)
    for name, entry in entries.items():
        if target is None:
            _remove(entry)
        elif name in kept:
            entry.verify()
        else:
            _remove(entry)
            document.remove(name)
    CATALOGUE.write_text(tomlkit.dumps(document), encoding="utf-8")


def _remove(entry: ModelEntry) -> None:
    if entry.server is not None:
        return  # it has no file
    if entry.file.is_dir():
        shutil.rmtree(entry.file)
    else:
        for file in files_of(entry.file):
            file.unlink(missing_ok=True)


def main() -> None:
    model, target = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    if target is not None and target not in TARGETS:
        sys.exit(f"TARGET_API={target} is not known: {', '.join(TARGETS)}.")
    if model not in ("embedded", "none") and "@" not in model:
        sys.exit(f"MODEL={model} is none of embedded, none and URI@sha256.")
    try:
        place(model)
        keep(target)
    except DetectorError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
