"""Chooses the labels of a new entry: the option --labels, or a file beside the model."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from detectors.catalogue.labels import read_labels
from detectors.errors import CatalogueError

Labels = Sequence[str] | Mapping[int, str]
"""In order, or by class id."""
LABEL_SUFFIXES = (".txt", ".pbtxt", ".json")
LABEL_FILES = ("labels.txt", "classes.txt", "*.pbtxt")


def choose_labels(model: Path, option: str | None, classes: int | None) -> tuple[Labels, Path | None]:
    """The labels for a model, and the file that they were read from, if any.

    option: the value of --labels, which is a file, or labels separated by commas. classes: the number of the model's
    classes, one of which may be the background; None if it is unknown. Without the option, a file beside the model is
    used, but only if the number of classes is known.

    Raises `CatalogueError` if there are no labels, or not as many as the model needs.
    """
    file = Path(option) if option is not None and _is_file(option) else None
    if option is None and classes is not None:
        beside = (found for name in LABEL_FILES for found in sorted(model.absolute().parent.glob(name)))
        file = next(beside, None)
    if file is None and option is None:
        raise CatalogueError(
            f"{model} has no labels yet. Add --labels with {_needed(classes)}: --labels {_example(classes)}, or a "
            "file: text with one label per line, a label map of TensorFlow (.pbtxt) or a COCO file (.json)."
        )
    labels = [label.strip() for label in str(option).split(",")] if file is None else read_labels(file)
    if classes is not None and not _fit(labels, classes):
        has = f"ids up to {max(labels)}" if isinstance(labels, Mapping) else f"{len(labels)} labels"
        raise CatalogueError(f"{model} needs {_needed(classes)}, but {file or '--labels'} has {has}.")
    return labels, file


def _is_file(option: str) -> bool:
    return "," not in option and (Path(option).suffix in LABEL_SUFFIXES or Path(option).is_file())


def _fit(labels: Labels, classes: int) -> bool:
    if isinstance(labels, Mapping):
        return max(labels) < classes
    return len(labels) in (classes - 1, classes)


def _needed(classes: int | None) -> str:
    if classes is None:
        return "a label for each class"
    return f"{classes - 1} labels, or {classes} if no class is the background"


def _example(classes: int | None) -> str:
    return "cat,dog" if classes is None or classes <= 3 else "cat,dog,…"
