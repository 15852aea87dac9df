"""The bundled network as a SavedModel with another signature, other names and raw outputs, as other exporters write it.

It takes floats, and returns a row for each of the 100 strongest peaks: boxes float32 [b, 100, 4] as centre, width and
height, 0..1 of the input, and logits float32 [b, 100, c]. A peak has one class, whose logit is in its column; the other
columns have ABSENT_LOGIT. Overlapping boxes are kept. `benchmarks.models.formats.RAW` is its catalogue entry.

    python -m benchmarks.models.raw WEIGHTS.npz FOLDER
"""

import sys
from pathlib import Path

import numpy as np

from detectors.runtimes.tensorflow import configure
from training.model.layout import INPUT_SIZE
from training.model.tensorflow_network import CELLS, TensorFlowNetwork, Weights, peaks

import tensorflow as tf  # isort: skip  # after detectors.runtimes.tensorflow, which silences its log

ABSENT_LOGIT = -20.0


def write(weights: Weights, folder: Path) -> None:
    """Writes the SavedModel. `weights` are those of a network with folded batch normalisations, by name."""

    def infer(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        (y1, x1, y2, x2), scores, kinds = peaks(*TensorFlowNetwork(weights).maps(pixels))
        places = tf.stack(((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1), axis=2) / CELLS
        likely = tf.clip_by_value(scores, 1e-6, 1 - 1e-6)
        logits = (tf.math.log(likely) - tf.math.log1p(-likely))[:, :, tf.newaxis]
        classes = len(weights["heat.bias"])
        return {"places": places, "logits": tf.where(tf.one_hot(kinds, classes, True, False), logits, ABSENT_LOGIT)}

    pixels = tf.TensorSpec((None, INPUT_SIZE, INPUT_SIZE, 3), tf.float32, "pixels")
    tf.saved_model.save(tf.Module(), str(folder), signatures={"infer": tf.function(infer, [pixels], autograph=False)})


if __name__ == "__main__":
    configure("cpu", threads=1)
    write(dict(np.load(sys.argv[1])), Path(sys.argv[2]))
