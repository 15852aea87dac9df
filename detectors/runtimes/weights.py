"""Reads the weights of a model from a state dict, a checkpoint or a safetensors file. None of them can run code."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

State = dict[str, torch.Tensor]

UNSAFE_WEIGHTS = (
    "holds more than weights, and so could run any program; save only the state dict: "
    "torch.save(model.state_dict(), …)."
)
AVERAGED = ("ema", "model_ema", "ema_model", "ema_state_dict", "swa", "swa_model", "averaged")
"""Keys of averaged weights. Evaluation uses them where a training keeps them: Ultralytics, RT-DETR, timm."""
PLAIN = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "module")
"""Keys of weights as the training itself changes them."""
WRAPPERS = frozenset({"module", "model", "net", "network", "detector", "_orig_mod"})
"""What DataParallel, Lightning, torch.compile and users put before all names of a model's weights."""
COUNTERS = frozenset({"n_averaged", "num_updates"})
"""Names of numbers that averaged models keep beside their weights."""
MAX_DEPTH = 3
MAX_SAFETENSORS_HEADER = 100_000_000
"""The format's own limit: https://github.com/huggingface/safetensors#format"""


@dataclass(frozen=True)
class Weights:
    """Weights by their names in the model."""

    tensors: State
    taken: tuple[str, ...] = ()
    """What was chosen or left out, a sentence each; empty for a plain state dict."""


def read_weights(file: Path) -> Weights:
    """The weights of a file.

    Raises UnpicklingError if it holds more than tensors and plain values, and ValueError if it holds no weights, or
    several and nothing says which.
    """
    if is_safetensors(file):
        from safetensors import SafetensorError  # noqa: PLC0415 - only such files need it
        from safetensors.torch import load_file  # noqa: PLC0415

        try:
            return _without_wrappers(load_file(file), [])
        except SafetensorError as error:
            raise ValueError(f"it is a damaged safetensors file: {error}") from error
    loaded = torch.load(file, map_location="cpu", weights_only=True)
    found = {path: state for path, state in _states(loaded, (), 0) if state}
    if not found:
        raise ValueError("it holds no state dict")
    path = _choose(list(found))
    notes = [f"The weights were taken from {'.'.join(path)} in the checkpoint."] if path else []
    if others := sorted(".".join(other) for other in found if other != path):
        notes.append(f"The checkpoint also has {', '.join(others)}.")
    return _without_wrappers(found[path], notes)


def is_safetensors(file: Path) -> bool:
    """Whether a file begins like a safetensors file: the length of a JSON object, then the object."""
    with file.open("rb") as opened:
        start = opened.read(9)
    return len(start) == 9 and start[8:] == b"{" and 2 <= int.from_bytes(start[:8], "little") <= MAX_SAFETENSORS_HEADER


def _states(value: Any, path: tuple[str, ...], depth: int) -> list[tuple[tuple[str, ...], State]]:
    """All dictionaries of tensors in a checkpoint, with the keys that lead to each."""
    if not isinstance(value, Mapping) or depth > MAX_DEPTH:
        return []
    tensors = {key: one for key, one in value.items() if isinstance(key, str) and isinstance(one, torch.Tensor)}
    if tensors and set(tensors) - COUNTERS:
        return [(path, tensors)]
    return [
        found
        for key, one in value.items()
        if isinstance(key, str) and not key.startswith(("optimizer", "scheduler", "lr_"))
        for found in _states(one, (*path, key), depth + 1)
    ]


def _choose(paths: list[tuple[str, ...]]) -> tuple[str, ...]:
    """The path of the weights to take. Raises ValueError if nothing says which."""
    if len(paths) == 1:
        return paths[0]
    for keys in (AVERAGED, PLAIN):
        fitting = [path for path in paths if any(key in keys for key in path)]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            paths = fitting
            break
    names = [".".join(path) for path in paths]
    first = "".join(f"[{key!r}]" for key in paths[0])
    raise ValueError(
        f"it holds the weights {', '.join(names)}, and nothing says which to take; save one of them alone, for example "
        f"torch.save(torch.load(FILE){first}, …)"
    )


def _without_wrappers(state: Mapping[str, torch.Tensor], notes: list[str]) -> Weights:
    """Names as the model itself has them: without what stands before all of them."""
    tensors = {name: tensor for name, tensor in state.items() if name not in COUNTERS}
    removed = ""
    while True:
        first = {name.partition(".")[0] for name in tensors}
        wrappers = first if len(first) == 1 else first & WRAPPERS
        if len(wrappers) != 1:
            break
        [wrapper] = wrappers
        inside = {name.partition(".")[2]: one for name, one in tensors.items() if name.startswith(f"{wrapper}.")}
        if not all("." in name for name in inside):
            break  # a layer, and nothing around the model
        if left_out := sorted(first - wrappers):
            notes.append(f"The weights of {', '.join(left_out)} were left out: they do not belong to {wrapper}.")
        removed += f"{wrapper}."
        tensors = inside
    if removed:
        notes.append(f"The names of the weights were taken without {removed}")
    return Weights(tensors, tuple(notes))
