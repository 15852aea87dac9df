"""The twin's decoding, run in TensorFlow's process."""

import numpy as np


def decoded(heat: np.ndarray, distances: np.ndarray) -> dict[str, np.ndarray]:
    """Maps as PyTorch lays them out, [b, channels, 112, 112] -> the outputs of `training.twin.decode`."""
    from training.twin import decode

    outputs = decode(heat.transpose(0, 2, 3, 1), distances.transpose(0, 2, 3, 1))
    return {name: output.numpy() for name, output in outputs.items()}
