"""Parts of the network in TensorFlow, run in TensorFlow's process. Maps are [b, channels, 128, 128], as in PyTorch."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np


def decoded(heat: np.ndarray, distances: np.ndarray) -> dict[str, np.ndarray]:
    """The outputs of `training.model.tensorflow_network.decode` without refinement."""
    from training.model.tensorflow_network import decode

    outputs = decode(heat.transpose(0, 2, 3, 1), distances.transpose(0, 2, 3, 1), lambda corners, _: corners)
    return {name: output.numpy() for name, output in outputs.items()}


def moved(weights: Mapping[str, np.ndarray], edges: np.ndarray, corners: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Corners [b, 100, 4] after `training.model.tensorflow_network.TensorFlowNetwork.borders`."""
    from training.model.tensorflow_network import TensorFlowNetwork

    found: np.ndarray = TensorFlowNetwork(weights).borders(edges.transpose(0, 2, 3, 1), corners, kinds).numpy()
    return found


def write_raw(weights: Mapping[str, np.ndarray], folder: Path) -> None:
    """The SavedModel of `benchmarks.models.raw`."""
    from benchmarks.models.raw import write

    write(weights, folder)
