"""Finds the torchvision detector that weights belong to: the one that loads them without an error."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torchvision.models import detection, get_model, list_models

from detectors.runtimes.weights import read_weights

MAX_NAMES = 3
"""Names of weights that an error lists of each kind."""


@dataclass(frozen=True)
class Builder:
    """A function of `torchvision.models.detection`, and what is known about its weights."""

    name: str
    classes: int
    """With the background."""
    notes: Sequence[str]
    """What was taken from the file, a sentence each."""


def find_builder(file: Path, wanted: str | None) -> Builder:
    """The function that builds a model for the weights of a file. `wanted`: try only this one.

    Raises ValueError if none or several fit, and UnpicklingError if the file holds more than weights.
    """
    known = list_models(module=detection)
    if wanted is not None and wanted not in known:
        raise ValueError(f"there is no builder {wanted!r}; there are {', '.join(known)}")
    weights = read_weights(file)
    tried = [wanted] if wanted else known
    fitting = {name: classes for name in tried if (classes := _count_classes(name, weights.tensors))}
    if not fitting:
        raise ValueError(_describe_nearest(tried, weights.tensors))
    if len(fitting) > 1:
        raise ValueError(f"its weights fit {' and '.join(fitting)}; choose one with --builder")
    return Builder(*fitting.popitem(), weights.taken)


def _count_classes(builder: str, weights: Mapping[str, torch.Tensor]) -> int | None:
    """The number of classes with which the builder makes a model for these weights; None if they do not fit it."""
    with torch.device("meta"):  # tensors without data, which is fast
        of_two = get_model(builder, weights=None, weights_backbone=None, num_classes=2)
        # Only the heads grow with the number of classes, in proportion to it.
        growths = {
            len(weights[name]) * 2 / len(weight)
            for name, weight in of_two.state_dict().items()
            if name in weights and weight.shape and weights[name].shape != weight.shape and weights[name].shape
        }
        classes = growths.pop() if len(growths) == 1 else 2
        if growths or classes != int(classes):
            return None
        model = get_model(builder, weights=None, weights_backbone=None, num_classes=int(classes))
    try:
        model.load_state_dict(weights, assign=True)
    except (RuntimeError, TypeError):
        return None
    return int(classes)


def _describe_nearest(builders: Sequence[str], weights: Mapping[str, torch.Tensor]) -> str:
    """Why weights fit none of the builders: how they differ from those of the nearest one."""
    with torch.device("meta"):
        models: dict[str, Any] = {
            name: get_model(name, weights=None, weights_backbone=None, num_classes=2).state_dict() for name in builders
        }
    nearest = max(models, key=lambda name: len(models[name].keys() & weights.keys()) / len(models[name]))
    expected = models[nearest]
    if not expected.keys() & weights.keys() and len(builders) > 1:
        return (
            f"its weights, such as {_some(list(weights))}, have none of the names that a detector of torchvision has. "
            "Export the model whole, with torch.export or to ONNX, as docs/models.md describes"
        )
    differences = {
        "lacks": [name for name in expected if name not in weights],
        "also has": [name for name in weights if name not in expected],
        "has in another shape": [
            name for name, weight in expected.items() if name in weights and weights[name].shape[1:] != weight.shape[1:]
        ],
    }
    told = "; it ".join(f"{what} {_some(names)}" for what, names in differences.items() if names)
    if not told:
        told = "has heads for different numbers of classes"
    if len(builders) == 1:
        return f"its weights do not fit {nearest}: the file {told}"
    return f"its weights fit no builder of torchvision; the nearest is {nearest}, but the file {told}"


def _some(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
