"""Chooses the labels of a new entry: the option --labels, or the model's own, or a file beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from detectors.catalogue.labels import Labels, read_labels
from detectors.errors import CatalogueError
from detectors.onboarding.declared import Declared

LABEL_SUFFIXES = (".txt", ".pbtxt", ".json", ".yaml", ".yml", ".names")
LABEL_FILES = ("labels.txt", "classes.txt", "*.names", "*.pbtxt", "data.yaml")


@dataclass(frozen=True)
class Chosen:
    """The labels of a new entry, and where they come from."""

    labels: Labels
    file: Path | None
    """The file that they were read from, if any."""
    source: str | None
    """Where they were found; None if --labels gave them."""


def choose_labels(
    model: Path, option: str | None, classes: int | None, declared: Declared | None = None, *, background: bool = True
) -> Chosen:
    """The labels for a model: of the option --labels, of the model's own file, or of a file beside it.

    option: a file, or labels separated by commas. classes: the number of the model's classes; None if it is unknown.
    background: whether one of the classes may be the background. Without the option, a file beside the model is used,
    but only if the number of classes is known, or the model itself names it.

    Raises `CatalogueError` if there are no labels, or not as many as the model needs.
    """
    if option is None and declared is not None and declared.labels is not None:
        return _checked(model, Chosen(declared.labels, None, f"from {declared.source}"), classes, background)
    file = Path(option) if option is not None and _is_file(option) else None
    if option is None and classes is not None:
        beside = (found for name in LABEL_FILES for found in sorted(model.absolute().parent.glob(name)))
        file = next(beside, None)
    if file is None and option is None:
        raise CatalogueError(
            f"{model} has no labels yet. Add --labels with {_needed(classes, background)}: --labels "
            f"{_example(classes)}, or a file: text with one label per line, a data.yaml, a label map of TensorFlow "
            "(.pbtxt), a COCO file or a config.json of Hugging Face."
        )
    labels = [label.strip() for label in str(option).split(",")] if file is None else read_labels(file)
    source = "found beside the model" if option is None else None
    return _checked(model, Chosen(labels, file, source), classes, background)


def _checked(model: Path, chosen: Chosen, classes: int | None, background: bool) -> Chosen:
    labels = chosen.labels
    if classes is not None and not _fit(labels, classes, background):
        has = f"ids up to {max(labels)}" if isinstance(labels, Mapping) else f"{len(labels)} labels"
        where = chosen.file or (chosen.source or "--labels").removeprefix("from ")
        raise CatalogueError(f"{model} needs {_needed(classes, background)}, but {where} has {has}.")
    return chosen


def _is_file(option: str) -> bool:
    return "," not in option and (Path(option).suffix in LABEL_SUFFIXES or Path(option).is_file())


def _fit(labels: Labels, classes: int, background: bool) -> bool:
    if isinstance(labels, Mapping):
        return max(labels) < classes
    return len(labels) in ((classes - 1, classes) if background else (classes,))


def _needed(classes: int | None, background: bool) -> str:
    if classes is None:
        return "a label for each class"
    if not background:
        return f"{classes} labels"
    return f"{classes - 1} labels, or {classes} if no class is the background"


def _example(classes: int | None) -> str:
    return "cat,dog" if classes is None or classes <= 3 else "cat,dog,…"
