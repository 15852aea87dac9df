"""torchvision's detectors with random weights. Each function runs in a separate process."""

from pathlib import Path
from typing import Any

import numpy as np

from detectors.catalogue import ModelEntry
from detectors.postprocess import Detections

CLASSES = 4
"""The background and three labels."""


def write(builder: str, path: Path, wrapping: str = "") -> None:
    """Writes a random state dict. `wrapping`: as in a checkpoint, DataParallel or Lightning, or a whole model."""
    import torch

    state: Any = _model(builder).state_dict()
    if wrapping == "checkpoint":
        state = {"epoch": 3, "model_state_dict": state, "optimizer": {}}
    elif wrapping == "DataParallel":
        state = {f"module.{name}": weight for name, weight in state.items()}
    elif wrapping == "Lightning":
        state = {"state_dict": {f"model.{name}": weight for name, weight in state.items()}, "epoch": 1}
    elif wrapping == "whole model":
        state = _model(builder)
    torch.save(state, path)


def detect(builder: str, path: Path, pictures: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Returns boxes, scores and labels that torchvision itself finds in each picture with these weights."""
    import torch

    model = _model(builder)
    model.load_state_dict(torch.load(path))
    torch.set_num_threads(1)
    with torch.inference_mode():
        found = model([torch.from_numpy(picture).permute(2, 0, 1).float() / 255 for picture in pictures])
    return [{name: tensor.numpy() for name, tensor in one.items()} for one in found]


def detect_in(precision: str, entry: ModelEntry, pictures: list[np.ndarray]) -> list[Detections]:
    """Returns the detections in a precision that the detector refuses on the CPU, because it is slow there."""
    from detectors.runtimes.pytorch import PyTorchDetector

    detector = PyTorchDetector(entry, device="cpu", threads=1)
    detector.entry = entry.model_copy(update={"precision": precision})
    return detector.detect(pictures)


def _model(builder: str) -> Any:
    import torch
    from torchvision.models import get_model

    torch.manual_seed(1)
    return get_model(builder, weights=None, weights_backbone=None, num_classes=CLASSES).eval()
