"""`python -m detectors.onboarding.add FILE`: infers the entry of a model file and adds it to a catalogue.

Before that it runs the model with the new entry as a worker does.
"""

import argparse
import os
import pickle
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tomlkit

from detectors.catalogue import Catalogue, read_entry
from detectors.digest import digest_of
from detectors.errors import CatalogueError, ModelUnusable
from detectors.onboarding import command_line
from detectors.onboarding.choose_labels import Chosen, choose_labels
from detectors.onboarding.detect_format import RUNTIMES, detect_format
from detectors.onboarding.edit_catalogue import Guess, add_entry, table_of
from detectors.onboarding.infer_entry import (
    DETR,
    Fields,
    infer_columns,
    infer_first_class,
    infer_input,
    infer_output,
)
from detectors.onboarding.probe import DEFAULT_BATCH_SIZE, probe
from detectors.onboarding.yolo import MIN_SCORE, infer_suppression, recognise
from detectors.runtimes.devices import load_runtime


def add(options: argparse.Namespace) -> dict[str, Any]:
    """Adds the model. Returns its name, its catalogue, the entry as TOML, and what was chosen, a sentence each. Raises
    `DetectorError`."""
    file: Path = options.file
    catalogue: Path = options.catalogue[0]
    model_format = detect_format(file)
    name = options.name or re.sub(r"[^A-Za-z0-9._-]+", "-", file.absolute().stem).strip("-._")
    _require_free(name, options)
    if options.builder and model_format != "torchvision":
        raise ModelUnusable(
            f"{file} has the format {model_format}, and --builder is only for state dicts. Leave it out."
        )
    runtime = RUNTIMES[model_format]
    detector_class, device = load_runtime(runtime, options.device)
    head = {"runtime": runtime, "format": model_format, "file": _path(file, catalogue), "sha256": _digest(file)}
    inferred, notes = _infer_fields(options, runtime, model_format, device)
    fields = {**head, **inferred}
    table = table_of(fields)
    text = tomlkit.dumps({name: table})
    entry = read_entry(catalogue, name, tomllib.loads(text)[name], options.cache)
    detector_class(entry, device=device, threads=options.threads).warm_up()
    if not options.dry_run:
        add_entry(catalogue, name, table, replace=options.replace)
    return {"model": name, "catalogue": str(catalogue), "entry": text, "notes": list(notes)}


def _require_free(name: str, options: argparse.Namespace) -> None:
    """Raises `CatalogueError` if a model has the name already, and may not be replaced."""
    for path in options.catalogue:
        if not path.exists() or name not in Catalogue.load(path, cache=options.cache).entries:
            continue
        if path != options.catalogue[0]:
            raise CatalogueError(f"There is already a model {name}, in {path}. Choose another name: --name NAME.")
        if not options.replace:
            raise CatalogueError(
                f"There is already a model {name}. Choose another name, --name NAME, or let the new model take its "
                "place: --replace."
            )


Inferred = tuple[Fields, Sequence[str]]
"""Fields of an entry, and what was chosen, a sentence each."""


def _infer_fields(options: argparse.Namespace, runtime: str, model_format: str, device: str) -> Inferred:
    """The fields that depend on the model's content. Raises `DetectorError`."""
    if model_format == "torchvision":
        return _infer_torchvision(options)
    probed = probe(options.file, runtime, model_format, options.size, device, options.threads)
    declared = probed.declared
    if declared is not None:
        declared.require_boxes(options.file)
    batch_size = {} if probed.batch_size == DEFAULT_BATCH_SIZE else {"batch_size": _batch_size(probed.batch_size)}
    family = recognise(probed)
    if family is not None:
        labels = choose_labels(options.file, options.labels, family.classes, declared, background=False)
        fields: Fields = {
            **_labels(labels, options),
            **batch_size,
            "input": infer_input(probed, family.input),
            "output": family.output,
            "defaults": {"min_score": Guess(MIN_SCORE, "as the predictors of the YOLO family show them")},
        }
        return fields, [f"The model was recognised as {family.name}."]
    output = infer_output(probed.outputs) | infer_first_class(probed)
    columns = np.asarray(probed.outputs[output["class_scores"]]) if "class_scores" in output else None
    labels = choose_labels(options.file, options.labels, None if columns is None else columns.shape[2], declared)
    if columns is not None:
        output |= infer_suppression(probed, columns)
        output |= infer_columns(columns, labels.labels, queries=output["boxes"] == DETR["boxes"])
    if isinstance(labels.labels, dict):
        output.pop("first_class", None)  # the labels have ids of their own
    known = {} if declared is None else declared.input
    fields = {**_labels(labels, options), **batch_size, "input": infer_input(probed, known), "output": output}
    return fields, []


def _batch_size(found: int) -> int | Guess:
    return Guess(1, "the model answers for one picture at a time") if found == 1 else found


def _infer_torchvision(options: argparse.Namespace) -> Inferred:
    # Imported here, because torchvision may be missing, and the other formats do not need it.
    from detectors.onboarding.builders import find_builder  # noqa: PLC0415
    from detectors.runtimes.weights import UNSAFE_WEIGHTS  # noqa: PLC0415

    try:
        builder = find_builder(options.file, options.builder)
    except pickle.UnpicklingError as error:
        raise ModelUnusable(f"{options.file} {UNSAFE_WEIGHTS}") from error
    except (RuntimeError, ValueError, OSError, LookupError) as error:
        raise ModelUnusable(f"{options.file} can't be examined: {error}") from error
    labels = choose_labels(options.file, options.labels, builder.classes)
    fields: Fields = {"builder": builder.name, **_labels(labels, options)}
    if options.size:
        fields["input"] = dict(zip(("width", "height"), options.size, strict=True))
    if len(labels.labels) == builder.classes and not isinstance(labels.labels, dict):
        fields["output"] = {"first_class": 0}
    return fields, builder.notes


def _labels(chosen: Chosen, options: argparse.Namespace) -> Fields:
    if chosen.file is not None:
        field: Any = _path(chosen.file, options.catalogue[0])
    elif isinstance(chosen.labels, Mapping):
        field = {str(number): label for number, label in chosen.labels.items()}
    else:
        field = list(chosen.labels)
    return {"labels": field if chosen.source is None or isinstance(field, dict) else Guess(field, chosen.source)}


def _path(file: Path, catalogue: Path) -> str:
    """The path of a file in the catalogue: relative, if it lies in the catalogue's folder or below."""
    # abspath keeps symbolic links: the entry has to name the link, not its target.
    path, folder = (Path(os.path.abspath(one)) for one in (file, catalogue.parent))
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _digest(file: Path) -> str:
    try:
        return digest_of(file)
    except OSError as error:
        if error.filename not in (None, str(file)):
            raise ModelUnusable(
                f"{error.filename} can't be read: {error.strerror}. {file} keeps weights in it: copy both."
            ) from error
        raise ModelUnusable(f"{file} can't be read: {error.strerror}.") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line and prints the result as JSON. Returns the exit code."""
    options = _parser().parse_args(arguments)
    return command_line.report(lambda: add(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m detectors.onboarding.add",
        description="Infer the entry of a model file, and add it to the first catalogue.",
    )
    parser.add_argument("file", type=Path, help="the model's file or folder")
    command_line.add_catalogues(parser)
    command_line.add_device(parser)
    parser.add_argument("--name", help="name of the entry [the file's name]")
    parser.add_argument("--labels", metavar="LABELS", help="a,b,c or a file with labels")
    parser.add_argument("--builder", help="function of torchvision.models.detection, for a state dict")
    parser.add_argument(
        "--size", type=_size, metavar="WxH", help="size of the model's input, if its file does not state it"
    )
    parser.add_argument("--replace", action="store_true", help="take the place of the entry of that name, if any")
    parser.add_argument("--dry-run", action="store_true", help="print the entry, but do not write it")
    return parser


def _size(option: str) -> tuple[int, int]:
    width, _, height = option.partition("x")
    return int(width), int(height)


if __name__ == "__main__":
    sys.exit(main())
