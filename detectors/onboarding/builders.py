"""Finds the torchvision detector that a state dict belongs to: the one that loads it without an error."""

from pathlib import Path
from typing import Any

import torch
from torchvision.models import detection, get_model, list_models

from detectors.runtimes.pytorch import read_weights


def find_builder(file: Path, wanted: str | None) -> tuple[str, int]:
    """The function of `torchvision.models.detection` that builds a model for these weights, and the number of its
    classes with the background. `wanted`: try only this builder.

    Raises ValueError if none or several fit, and UnpicklingError if the file holds more than weights.
    """
    known = list_models(module=detection)
    if wanted is not None and wanted not in known:
        raise ValueError(f"there is no builder {wanted!r}; there are {', '.join(known)}")
    weights = read_weights(file)
    found = {name: _count_classes(name, weights) for name in ([wanted] if wanted else known)}
    fitting = {name: classes for name, classes in found.items() if classes}
    if not fitting:
        raise ValueError(f"its weights do not fit {wanted or 'any builder of torchvision: ' + ', '.join(known)}")
    if len(fitting) > 1:
        raise ValueError(f"its weights fit {' and '.join(fitting)}; choose one with --builder")
    return fitting.popitem()


def _count_classes(builder: str, weights: dict[str, Any]) -> int | None:
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
