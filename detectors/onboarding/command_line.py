"""What the commands on models share. `boxqueue models` runs each in its own process, because it loads a framework."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from detectors.catalogue import Catalogue
from detectors.errors import DetectorError


def model_parser(module: str, description: str) -> argparse.ArgumentParser:
    """A parser for the name of a model and its catalogues."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("name", help="the model's name")
    add_catalogues(parser)
    return parser


def add_catalogues(parser: argparse.ArgumentParser) -> None:
    """Adds the options for the catalogues."""
    parser.add_argument(
        "--catalogue", type=Path, action="append", required=True, metavar="FILE", help="may be repeated"
    )
    parser.add_argument("--cache", type=Path, default=Path("data/models"), metavar="FOLDER", help="for fetched files")


def add_device(parser: argparse.ArgumentParser) -> None:
    """Adds the options for the device and the threads."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N [auto]")
    parser.add_argument("--threads", type=int, default=1, help="number of the framework's threads [1]")


def load_catalogue(options: argparse.Namespace) -> Catalogue:
    """The catalogues of the options. Raises `CatalogueError`."""
    return Catalogue.load(*options.catalogue, cache=options.cache)


def report(work: Callable[[], Mapping[str, Any]]) -> int:
    """Prints the result of `work` as JSON, or a line "code: message" on stderr. Returns the exit code."""
    try:
        result = work()
    except DetectorError as error:
        # On one line, because `boxqueue models` shows the last line, and a compiler's message has many.
        sys.stderr.write(f"{error.code}: {' '.join(str(error).split())}\n")
        return 1
    sys.stdout.write(json.dumps(result) + "\n")
    return 0
