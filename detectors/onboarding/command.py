"""What commands on models have in common. `boxqueue models` runs each in a process of its own, as a framework is loaded
there."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from detectors.catalogue import Catalogue
from detectors.errors import DetectorError


def parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """Takes the name of a model and the catalogues that may have it."""
    made = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    made.add_argument("name", help="the model")
    add_catalogues(made)
    return made


def add_catalogues(made: argparse.ArgumentParser) -> None:
    """The options that say which catalogues there are."""
    made.add_argument("--catalogue", type=Path, action="append", required=True, metavar="FILE", help="or several")
    made.add_argument("--cache", type=Path, default=Path("data/models"), metavar="FOLDER", help="for fetched files")


def add_device(made: argparse.ArgumentParser) -> None:
    """The options that say what a model runs on."""
    made.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N [auto]")
    made.add_argument("--threads", type=int, default=1, help="of the framework [1]")


def catalogue_of(options: argparse.Namespace) -> Catalogue:
    """The catalogues that were named. Raises `CatalogueError`."""
    return Catalogue.load(*options.catalogue, cache=options.cache)


def answer(work: Callable[[], Mapping[str, Any]]) -> int:
    """Prints what came of the work as JSON, or a line "code: sentence" on stderr. Returns the exit code."""
    try:
        found = work()
    except DetectorError as error:
        # On one line, as a compiler's words may be many: whoever called takes the last one.
        sys.stderr.write(f"{error.code}: {' '.join(str(error).split())}\n")
        return 1
    sys.stdout.write(json.dumps(found) + "\n")
    return 0
