"""The card detector in TensorFlow, with the weights of the one in PyTorch: the same layers, the same decoding.

Its outputs are those of the Object Detection API: `detection_boxes` float32 [b, 100, 4] as ymin, xmin, ymax, xmax, 0..1
of the input; `detection_scores` float32 [b, 100], descending; `detection_classes` float32 [b, 100], counted from 1;
`num_detections` float32 [b].
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
from torch import nn

from training.model import (
    DETECTIONS,
    INPUT_SIZE,
    LABELS,
    LONGEST_LOG,
    STRIDE,
    CardNetwork,
    Convolution,
    Residual,
)

SAVED_MODEL_INPUT = "input_tensor"
FROZEN_GRAPH_INPUT = "image_tensor"
CELLS = INPUT_SIZE // STRIDE


def write_saved_model(network: CardNetwork, folder: Path) -> None:
    """Writes a SavedModel with the signature of the Object Detection API. `network` is a folded one."""

    def serve(input_tensor: tf.Tensor) -> dict[str, tf.Tensor]:
        return detect(network, input_tensor)

    # The weights are constants of the graph, so that TensorFlow can fuse them with what follows, and lay them out as
    # the processor likes them.
    pictures = tf.TensorSpec([None, INPUT_SIZE, INPUT_SIZE, 3], tf.uint8, SAVED_MODEL_INPUT)
    signature = tf.function(serve, input_signature=[pictures], autograph=False)
    tf.saved_model.save(tf.Module(), str(folder), signatures={"serving_default": signature})


def write_frozen_graph(network: CardNetwork, file: Path) -> None:
    """Writes the same as TensorFlow 1 did: a graph with constants for weights. `network` is a folded one."""
    with tf.Graph().as_default() as graph:
        pictures = tf.compat.v1.placeholder(tf.uint8, [None, INPUT_SIZE, INPUT_SIZE, 3], FROZEN_GRAPH_INPUT)
        for name, output in detect(network, pictures).items():
            tf.identity(output, name)
    file.write_bytes(graph.as_graph_def().SerializeToString(deterministic=True))


def detect(network: CardNetwork, pictures: tf.Tensor) -> dict[str, tf.Tensor]:
    """Letterboxed RGB pictures, uint8 [b, 384, 384, 3] -> the outputs that the module's docstring lists."""
    heat, distances = _maps(network, tf.cast(pictures, tf.float32) / 127.5 - 1.0)
    return _decode(heat, distances)


def _maps(network: CardNetwork, pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`CardNetwork.forward`, channels last: [b, h, w, 3] -> [b, h/4, w/4, 6], [b, h/4, w/4, 24]."""
    at4 = _layer(network.stage4, _layer(network.stem, pixels))
    at8 = _layer(network.stage8, at4)
    at16 = _layer(network.stage16, at8)
    at32 = _layer(network.stage32, at16)
    at16 = _layer(network.merge16, at16 + _twice(_layer(network.lateral32, at32)))
    at8 = _layer(network.merge8, at8 + _twice(_layer(network.lateral16, at16)))
    at4 = _layer(network.merge4, at4 + _twice(_layer(network.lateral8, at8)))
    return _layer(network.heat, at4), _layer(network.distances, at4)


def _layer(layer: nn.Module, features: tf.Tensor) -> tf.Tensor:
    """What a layer of the network does. Raises `TypeError` for a kind that has no twin here."""
    match layer:
        case Residual():
            return features + _layer(layer.second, _layer(layer.first, features))
        case Convolution() | nn.Sequential():
            for part in layer:
                features = _layer(part, features)
            return features
        case nn.Conv2d():
            return _convolution(layer, features)
        case nn.ReLU():
            return tf.nn.relu(features)
        case nn.Identity():
            return features  # where a normalisation was, before it became part of the convolution
    raise TypeError(f"{type(layer).__name__} has no twin in TensorFlow")


def _convolution(layer: nn.Conv2d, features: tf.Tensor) -> tf.Tensor:
    assert layer.bias is not None
    assert isinstance(layer.padding, tuple)
    # PyTorch's [out, in, height, width] is TensorFlow's [height, width, in, out].
    weight = np.ascontiguousarray(layer.weight.detach().numpy().transpose(2, 3, 1, 0))
    down, across = layer.padding
    # Not "SAME": with a stride of 2 TensorFlow would pad only at the right and below.
    padding = [[0, 0], [down, down], [across, across], [0, 0]]
    convolved = tf.nn.conv2d(features, tf.constant(weight), layer.stride, padding)
    return tf.nn.bias_add(convolved, tf.constant(layer.bias.detach().numpy()))


def _twice(features: tf.Tensor) -> tf.Tensor:
    """[b, h, w, c] -> [b, 2h, 2w, c], every value repeated."""
    _, height, width, _ = features.shape
    return tf.raw_ops.ResizeNearestNeighbor(images=features, size=[2 * height, 2 * width])


def _decode(heat: tf.Tensor, distances: tf.Tensor) -> dict[str, tf.Tensor]:
    """`training.model.decode`, step by step the same; heat [b, 96, 96, 6], distances [b, 96, 96, 24]."""
    classes, cells = len(LABELS), CELLS * CELLS
    scores = tf.sigmoid(heat)
    strongest = tf.nn.max_pool2d(scores, ksize=3, strides=1, padding="SAME")
    scores = tf.where(scores == strongest, scores, 0.0)
    scores = tf.reshape(tf.transpose(scores, [0, 3, 1, 2]), [-1, classes * cells])

    # Unique keys: of equal scores the lower index comes first, whatever `top_k` does with equals.
    index = tf.range(classes * cells, dtype=tf.int64)
    bits = tf.cast(tf.bitcast(scores, tf.int32), tf.int64)
    keys = bits * (classes * cells) + (classes * cells - 1 - index)
    chosen = tf.math.top_k(keys, DETECTIONS, sorted=True).indices

    sides = tf.exp(tf.minimum(distances, LONGEST_LOG))
    # left, top, right, bottom of each class: [b, h, w, 6 * 4] -> [b, 6 * h * w, 4]
    sides = tf.transpose(tf.reshape(sides, [-1, cells, classes, 4]), [0, 2, 1, 3])
    sides = tf.gather(tf.reshape(sides, [-1, classes * cells, 4]), chosen, batch_dims=1)
    left, top, right, bottom = tf.unstack(sides, axis=2)

    cell = chosen % cells
    x = tf.cast(cell % CELLS, tf.float32) + 0.5
    y = tf.cast(cell // CELLS, tf.float32) + 0.5
    corners = tf.stack([y - top, x - left, y + bottom, x + right], axis=2) / float(CELLS)
    return {
        "detection_boxes": tf.clip_by_value(corners, 0.0, 1.0),
        "detection_scores": tf.gather(scores, chosen, batch_dims=1),
        "detection_classes": tf.cast(chosen // cells + 1, tf.float32),
        "num_detections": tf.fill([tf.shape(scores)[0]], float(DETECTIONS)),
    }
