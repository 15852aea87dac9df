"""Which of torchvision's detectors a state dict belongs to: the one that takes it without a word."""

from pathlib import Path
from typing import Any

import torch
from torchvision.models import detection, get_model, list_models

from detectors.runtimes.pytorch import read_weights


def builder_of(file: Path, wanted: str | None) -> tuple[str, int]:
    """The function of `torchvision.models.detection` that builds the model of these weights, and how many classes it
    has with the background. `wanted`: look at this one alone.

    Raises ValueError where there is none or several, UnpicklingError where the file holds more than weights.
    """
    known = list_models(module=detection)
    if wanted is not None and wanted not in known:
        raise ValueError(f"there is no builder {wanted!r}; there are {', '.join(known)}")
    weights = read_weights(file)
    found = {name: _classes(name, weights) for name in ([wanted] if wanted else known)}
    fitting = {name: classes for name, classes in found.items() if classes}
    if not fitting:
        raise ValueError(f"its weights are not those of {wanted or 'any of torchvision’s: ' + ', '.join(known)}")
    if len(fitting) > 1:
        raise ValueError(f"its weights fit {' and '.join(fitting)}: --builder says which of them it is")
    return fitting.popitem()


def _classes(builder: str, weights: dict[str, Any]) -> int | None:
    """With how many classes a builder makes a model of these weights; None where it makes no such."""
    with torch.device("meta"):  # shapes without numbers, which takes no time
        of_two = get_model(builder, weights=None, weights_backbone=None, num_classes=2)
        # Only its heads are larger with more classes, in proportion.
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
