"""The labels of a model that is entered: as they were given, or from a file beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from detectors.catalogue.labels import read_labels
from detectors.errors import CatalogueError

Labels = Sequence[str] | Mapping[int, str]
"""In order, or by class id."""
ENDINGS = (".txt", ".pbtxt", ".json")
BESIDE = ("labels.txt", "classes.txt", "*.pbtxt")


@dataclass(frozen=True)
class GivenLabels:
    """Labels, and the file that they stand in, if they do."""

    labels: Labels
    file: Path | None


def labels_of(model: Path, given: str | None, classes: int | None) -> GivenLabels:
    """`given`: labels with commas between them, or a file. Without them, a file beside the model is taken, if it is
    known how many classes the model tells apart, `classes`, one of which may be the background.

    Raises `CatalogueError` where there are none, or not as many as it takes.
    """
    file = Path(given) if given is not None and _is_file(given) else None
    if given is None and classes is not None:
        beside = (found for name in BESIDE for found in sorted(model.absolute().parent.glob(name)))
        file = next(beside, None)
    if file is None and given is None:
        raise CatalogueError(
            f"What {model} finds has no names yet: --labels gives {_needed(classes)}, as --labels {_example(classes)} "
            "or as a file: text with a label a line, a label map of TensorFlow (.pbtxt) or a COCO file (.json)."
        )
    labels = [label.strip() for label in str(given).split(",")] if file is None else read_labels(file)
    if classes is not None and not _fit(labels, classes):
        has = f"ids up to {max(labels)}" if isinstance(labels, Mapping) else f"{len(labels)} labels"
        raise CatalogueError(f"{model} needs {_needed(classes)}, and {file or '--labels'} has {has}.")
    return GivenLabels(labels, file)


def _is_file(given: str) -> bool:
    return "," not in given and (Path(given).suffix in ENDINGS or Path(given).is_file())


def _fit(labels: Labels, classes: int) -> bool:
    if isinstance(labels, Mapping):
        return max(labels) < classes
    return len(labels) in (classes - 1, classes)


def _needed(classes: int | None) -> str:
    if classes is None:
        return "a label for each class"
    return f"{classes - 1} labels, or {classes} where no class is the background"


def _example(classes: int | None) -> str:
    return "cat,dog" if classes is None or classes <= 3 else "cat,dog,…"
