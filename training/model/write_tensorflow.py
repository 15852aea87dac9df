"""Writes the network as a SavedModel and as a frozen graph, and compares their detections with those of PyTorch.

`python -m training.model.write_tensorflow EXPECTED SAVED_MODEL FROZEN_GRAPH`, where EXPECTED is an .npz of weights,
pictures and PyTorch's detections in these pictures.
"""

import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.catalogue import Input, ModelEntry, Output
from detectors.digest import digest_of
from detectors.postprocess import Detections
from detectors.runtimes.tensorflow import SIGNATURE, TensorFlowDetector, configure
from training.catalogue_entries import OBJECT_DETECTION_API_OUTPUT
from training.model.layout import INPUT_SIZE
from training.model.parity import differences
from training.model.tensorflow_network import TensorFlowNetwork, Weights

import tensorflow as tf  # isort: skip  # after detectors.runtimes.tensorflow, which makes it quiet

MAX_LISTED = 10
"""Number of differences that the error message lists."""
SHAPE = (None, INPUT_SIZE, INPUT_SIZE, 3)


def write_saved_model(weights: Weights, folder: Path) -> None:
    """Writes a SavedModel with the inputs and outputs of the Object Detection API."""

    def serve(input_tensor: tf.Tensor) -> dict[str, tf.Tensor]:
        return TensorFlowNetwork(weights).detect(input_tensor)

    # The weights are constants of the graph, so that TensorFlow can fuse a convolution with the operators after it.
    signature = tf.function(serve, input_signature=[tf.TensorSpec(SHAPE, tf.uint8, "input_tensor")], autograph=False)
    tf.saved_model.save(tf.Module(), str(folder), signatures={SIGNATURE: signature})


def write_frozen_graph(weights: Weights, file: Path) -> None:
    """Writes a frozen graph like those of TensorFlow 1: one file, with the weights as constants."""
    with tf.Graph().as_default() as graph:
        pictures = tf.compat.v1.placeholder(tf.uint8, SHAPE, "image_tensor")
        for name, output in TensorFlowNetwork(weights).detect(pictures).items():
            tf.identity(output, name)
    file.write_bytes(graph.as_graph_def().SerializeToString(deterministic=True))


def check(file: Path, kind: str, expected: Mapping[str, npt.NDArray[Any]]) -> list[str]:
    """Loads a written file as a worker does. Returns a line for each detection that differs from PyTorch's."""
    entry = ModelEntry(
        name=file.name,
        runtime="tensorflow",
        format=kind,
        file=file,
        sha256=digest_of(file),
        labels=tuple(map(str, range(len(expected["weights.heat.bias"])))),
        input=Input(width=INPUT_SIZE, height=INPUT_SIZE, layout="NHWC", dtype="uint8"),
        output=Output(**tomllib.loads(OBJECT_DETECTION_API_OUTPUT), floor_score=0),
    )
    found = TensorFlowDetector(entry, device="cpu", threads=1).detect(list(expected["pictures"]))
    pytorch = map(Detections, expected["boxes"], expected["scores"], expected["classes"])
    return [
        f"{file.name}, picture {number}, {line}"
        for number, (one, other) in enumerate(zip(pytorch, found, strict=True))
        for line in differences(one, other)
    ]


def main() -> int:
    """Writes both models. Returns the exit status, which is 1 if their detections differ from PyTorch's."""
    expected = dict(np.load(sys.argv[1]))
    folder, file = map(Path, sys.argv[2:])
    weights = {name.removeprefix("weights."): array for name, array in expected.items() if name.startswith("weights.")}
    configure("cpu", threads=1)
    write_saved_model(weights, folder)
    write_frozen_graph(weights, file)
    lines = check(folder, "saved_model", expected) + check(file, "frozen_graph", expected)
    if lines:
        sys.stderr.write("\n".join([f"{len(lines)} detections differ from those of PyTorch:", *lines[:MAX_LISTED]]))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
