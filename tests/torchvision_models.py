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


def write_checkpoint(kind: str, builder: str, path: Path) -> None:
    """Writes weights as a training loop of some kind does. The weights that should be taken are those of `_model`; all
    others are zeros."""
    import torch

    state = _model(builder).state_dict()
    zeros = {name: torch.zeros_like(weight) for name, weight in state.items()}
    steps = torch.tensor(9)

    def named(prefix: str) -> dict[str, Any]:
        return {f"{prefix}{name}": weight for name, weight in state.items()}

    if kind == "safetensors":
        from safetensors.torch import save_file

        save_file({name: weight.contiguous() for name, weight in state.items()}, path)
        return
    checkpoints: dict[str, Any] = {
        "net": {"net": state, "acc": 0.9, "epoch": 3},
        "averaged": {"model": zeros, "ema": {"module": state, "updates": 3}, "optimizer": {"state": {0: {"m": steps}}}},
        "compiled": named("_orig_mod."),
        "nested": {"state_dict": named("model.detector.")},
        "stochastic averages": {**named("module."), "n_averaged": steps},
        "with a criterion": {"state_dict": {**named("model."), "criterion.weight": torch.zeros(4)}},
        "two": {"student": state, "teacher": zeros},
        "cut": dict(list(state.items())[:-3]),
        "other": {"stem.0.weight": torch.zeros(4), "head.0.bias": torch.zeros(4)},
        "nothing": {"epoch": 3, "history": [1, 2]},
    }
    torch.save(checkpoints[kind], path)


def read(builder: str, path: Path) -> tuple[bool, tuple[str, ...]]:
    """Whether the weights of a file are those of `_model`, and what was chosen."""
    import torch

    from detectors.runtimes.weights import read_weights

    weights, state = read_weights(path), _model(builder).state_dict()
    same = weights.tensors.keys() == state.keys()
    return same and all(torch.equal(weights.tensors[name], state[name]) for name in state), weights.taken


def write_with_operators(kind: str, path: Path) -> None:
    """Writes a program that uses operators of torchvision, as TorchScript or as an exported program: for each picture
    the mean of its top left quarter is the score of one box."""
    import torch
    from torchvision.ops import nms, roi_align

    class Quarter(torch.nn.Module):
        def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            n = pictures.shape[0]
            box = torch.tensor([[0.0, 0.0, 16.0, 16.0]])
            scores = roi_align(pictures[:, :1], [box], 1)[:, 0, 0]
            return box.expand(n, 1, 4), scores, torch.zeros(n, 1, dtype=torch.int64)

    class Suppressed(torch.nn.Module):
        def forward(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            boxes = torch.tensor([[0.0, 0.0, 16.0, 16.0], [0.0, 0.0, 16.0, 15.0]])
            kept = nms(boxes, torch.tensor([0.9, 0.8]), 0.5)
            n = pictures.shape[0]
            scores = pictures[:, :1, :16, :16].mean((2, 3))
            return boxes[kept].expand(n, 1, 4), scores, torch.zeros(n, 1, dtype=torch.int64)

    if kind == "torchscript":
        torch.jit.script(Suppressed()).save(str(path))
        return
    torch.export.save(torch.export.export(Quarter(), (torch.zeros(1, 3, 32, 32),)), path)


def add_without_torchvision(options: Any) -> str:
    """The error of `add` in a process that has no torchvision."""
    import sys
    from unittest.mock import patch

    from detectors.errors import ModelUnusable
    from detectors.onboarding.add import add

    with patch.dict(sys.modules, {"torchvision": None}):
        try:
            add(options)
        except ModelUnusable as error:
            return str(error)
    return "no error"
