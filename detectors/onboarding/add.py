"""`python -m detectors.onboarding.add FILE`: looks into a model file and proposes an entry for it.

It proves that a worker can serve the model with this entry, and writes the entry into a catalogue.
"""

import argparse
import os
import pickle
import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tomlkit

from detectors.catalogue import Catalogue, read_entry
from detectors.digest import digest_of
from detectors.errors import CatalogueError, ModelUnusable
from detectors.onboarding import command
from detectors.onboarding.check import runtime_here
from detectors.onboarding.detect_format import RUNTIMES, recognise
from detectors.onboarding.infer_entry import Fields, columns_fields, input_fields, output_fields
from detectors.onboarding.label_options import GivenLabels, labels_of
from detectors.onboarding.probe import MOST, probe
from detectors.onboarding.writing import Guess, add_entry, table_of


def add(options: argparse.Namespace) -> dict[str, Any]:
    """Enters the model and tells under which name, where, and what the entry is as TOML. Raises `DetectorError`."""
    file: Path = options.file
    catalogue, *others = options.catalogue
    model_format = recognise(file)
    name = options.name or re.sub(r"[^A-Za-z0-9._-]+", "-", file.absolute().stem).strip("-._")
    known = Catalogue.load(*(path for path in (catalogue, *others) if path.exists()), cache=options.cache).entries
    if name in known:
        raise CatalogueError(f"There is a model {name} already; --name NAME calls the new one differently.")
    if options.builder and model_format != "torchvision":
        raise ModelUnusable(f"{file} is no state dict but of the format {model_format}, which needs no --builder.")
    runtime = RUNTIMES[model_format]
    detector_class, device = runtime_here(runtime, options.device)
    head = {
        "runtime": runtime,
        "format": model_format,
        "file": _path(file, catalogue),
        "sha256": _digest(file),
    }
    fields = {**head, **_proposed(options, runtime, model_format, device)}
    table = table_of(fields)
    text = tomlkit.dumps({name: table})
    entry = read_entry(catalogue, name, tomllib.loads(text)[name], options.cache)
    detector_class(entry, device=device, threads=options.threads).warm_up()
    if not options.dry_run:
        add_entry(catalogue, name, table)
    return {"model": name, "catalogue": str(catalogue), "entry": text}


def _proposed(options: argparse.Namespace, runtime: str, model_format: str, device: str) -> Fields:
    """What an entry says of a model beside where it is. Raises `DetectorError`."""
    if model_format == "torchvision":
        return _of_torchvision(options)
    seen = probe(options.file, runtime, model_format, options.size, device, options.threads)
    output = output_fields(seen.outputs)
    columns = np.asarray(seen.outputs[output["class_scores"]]) if "class_scores" in output else None
    given = labels_of(options.file, options.labels, None if columns is None else columns.shape[2])
    if columns is not None:
        output |= columns_fields(columns, given.labels)
    if isinstance(given.labels, dict):
        output.pop("first_class", None)  # the labels have ids of their own
    batch_size = {} if seen.batch_size == MOST else {"batch_size": seen.batch_size}
    return {**_labels(given, options), **batch_size, "input": input_fields(seen), "output": output}


def _of_torchvision(options: argparse.Namespace) -> Fields:
    # Neither for programs nor for TensorFlow: torchvision need not be there.
    from detectors.onboarding.builders import builder_of  # noqa: PLC0415
    from detectors.runtimes.pytorch import MORE_THAN_WEIGHTS  # noqa: PLC0415

    try:
        builder, classes = builder_of(options.file, options.builder)
    except pickle.UnpicklingError as error:
        raise ModelUnusable(f"{options.file} {MORE_THAN_WEIGHTS}") from error
    except (RuntimeError, ValueError, OSError, LookupError) as error:
        raise ModelUnusable(f"{options.file} can't be looked at: {error}") from error
    given = labels_of(options.file, options.labels, classes)
    fields: Fields = {"builder": builder, **_labels(given, options)}
    if options.size:
        fields["input"] = dict(zip(("width", "height"), options.size, strict=True))
    if len(given.labels) == classes and not isinstance(given.labels, dict):
        fields["output"] = {"first_class": 0}
    return fields


def _labels(given: GivenLabels, options: argparse.Namespace) -> Fields:
    labels = list(given.labels) if given.file is None else _path(given.file, options.catalogue[0])
    return {"labels": labels if options.labels is not None else Guess(labels, "found beside the model")}


def _path(file: Path, catalogue: Path) -> str:
    """A file as a catalogue names it: relative to the catalogue where it is below its folder."""
    # Not resolved: a link that somebody put beside the catalogue is what he means.
    path, folder = (Path(os.path.abspath(one)) for one in (file, catalogue.parent))
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _digest(file: Path) -> str:
    try:
        return digest_of(file)
    except OSError as error:
        raise ModelUnusable(f"{file} can't be read: {error.strerror}.") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line and prints what came of it as JSON. Returns the exit code."""
    options = _parser().parse_args(arguments)
    return command.answer(lambda: add(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m detectors.onboarding.add",
        description="Look into a model file, and enter it into the first catalogue.",
    )
    parser.add_argument("file", type=Path, help="the model's file or folder")
    command.add_catalogues(parser)
    command.add_device(parser)
    parser.add_argument("--name", help="what the entry is called [the file's name]")
    parser.add_argument("--labels", metavar="LABELS", help="a,b,c or a file with them")
    parser.add_argument("--builder", help="of torchvision.models.detection, for a state dict")
    parser.add_argument("--size", type=_size, metavar="WxH", help="of the model's input, where any goes")
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    return parser


def _size(given: str) -> tuple[int, int]:
    width, _, height = given.partition("x")
    return int(width), int(height)


if __name__ == "__main__":
    sys.exit(main())
