"""The detector in TensorFlow, with the weights of the detector in PyTorch: the same layers, the same decoding.

Its outputs are those of the Object Detection API: `detection_boxes` float32 [b, 100, 4] as ymin, xmin, ymax, xmax, 0..1
of the input; `detection_scores` float32 [b, 100], descending; `detection_classes` float32 [b, 100], counted from 1;
`num_detections` float32 [b]. This module does not import PyTorch: the weights are arrays, named as in the state dict of
`CenterNet`, with every batch normalisation folded into its convolution.
"""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from training.model.layout import (
    ACROSS,
    ALONG,
    DETECTIONS,
    DILATION,
    INPUT_SIZE,
    MAX_LOG_DISTANCE,
    NMS_IOU,
    PEAK_WINDOW,
    PER_SIDE,
    POINTS,
    SIDES,
    STRIDE,
)

Weights = Mapping[str, npt.NDArray[np.float32]]

CELLS = INPUT_SIZE // STRIDE
Refine = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""Takes corners and classes, and returns refined corners, as `BorderRefinement` does."""


class TensorFlowNetwork:
    """`training.model.network.Program`, method by method, with channels last."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights

    def detect(self, pictures: tf.Tensor) -> dict[str, tf.Tensor]:
        """Letterboxed RGB pictures, uint8 [b, 512, 512, 3] -> the outputs that the module's docstring lists."""
        return decode(*self.maps(tf.cast(pictures, tf.float32) / 127.5 - 1.0))

    def maps(self, pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, Refine]:
        """RGB [b, 512, 512, 3], -1..1 -> heat, log distances and the refinement of corners, as `decode` takes them."""
        heat, distances, edges = self._forward(pixels)
        return heat, distances, lambda corners, kinds: self.borders(edges, corners, kinds)

    def borders(self, edges: tf.Tensor, corners: tf.Tensor, kinds: tf.Tensor) -> tf.Tensor:
        """`BorderRefinement.forward`: edges [b, 128, 128, 32], corners [b, n, 4], kinds [b, n] -> [b, n, 4]."""
        seen, kind, move = (tf.constant(self._weights[f"borders.{name}"]) for name in ("seen", "kind", "move"))
        read = _sample(edges, *_points(corners))
        bias = tf.reshape(tf.gather(kind, kinds), [-1, DETECTIONS, *move.shape])
        hidden = tf.nn.relu(tf.einsum("bnsi,sih->bnsh", read, seen) + bias)
        return corners + tf.reduce_sum(hidden * move, axis=3)

    def _forward(self, pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """`CenterNet.forward`: [b, 512, 512, 3] -> heat [b, 128, 128, c], log distances [b, 128, 128, 4c], edges."""
        block, residual = self._block, self._residual
        x4 = residual("stage4", block("stem.1", block("stem.0", pixels, 2), 2))
        x8 = residual("stage8.1", block("stage8.0", x4, 2))
        x16 = residual("stage16.2", residual("stage16.1", block("stage16.0", x8, 2)))
        x32 = residual("stage32.2", residual("stage32.1", block("stage32.0", x16, 2)), DILATION)
        x16 = block("merge16", x16 + _upsampled(block("lateral32", x32)))
        x8 = block("merge8", x8 + _upsampled(block("lateral16", x16)))
        x4 = block("merge4", x4 + _upsampled(block("lateral8", x8)))
        heat, distances, edges = (self._convolution(name, x4) for name in ("heat", "distances", "edges"))
        return heat, distances, edges

    def _residual(self, name: str, features: tf.Tensor, dilation: int = 1) -> tf.Tensor:
        first = self._block(f"{name}.first", features, dilation=dilation)
        return features + self._block(f"{name}.second", first, dilation=dilation)

    def _block(self, name: str, features: tf.Tensor, stride: int = 1, dilation: int = 1) -> tf.Tensor:
        return tf.nn.relu(self._convolution(f"{name}.0", features, stride, dilation))

    def _convolution(self, name: str, features: tf.Tensor, stride: int = 1, dilation: int = 1) -> tf.Tensor:
        # PyTorch's [out, in, height, width] is TensorFlow's [height, width, in, out].
        weight = np.ascontiguousarray(self._weights[f"{name}.weight"].transpose(2, 3, 1, 0))
        padding = [dilation * (weight.shape[0] // 2)] * 2
        # Not "SAME": with a stride of 2 TensorFlow would pad only at the right and below.
        paddings = [[0, 0], padding, padding, [0, 0]]
        convolved = tf.nn.conv2d(features, tf.constant(weight), stride, paddings, dilations=dilation)
        return tf.nn.bias_add(convolved, tf.constant(self._weights[f"{name}.bias"]))


def _upsampled(features: tf.Tensor) -> tf.Tensor:
    """[b, h, w, c] -> [b, 2h, 2w, c], every value repeated (nearest neighbour)."""
    _, height, width, _ = features.shape
    return tf.raw_ops.ResizeNearestNeighbor(images=features, size=[2 * height, 2 * width])


def _points(corners: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """x and y, [b, n, 4, 15] each, of the points around the sides of boxes."""
    x1, y1, x2, y2 = (side[:, :, tf.newaxis, tf.newaxis] for side in tf.unstack(corners, axis=2))
    along, across = tf.constant(ALONG)[:, tf.newaxis], tf.constant(ACROSS)[tf.newaxis, :]
    x = (x1 + across, x1 + along * (x2 - x1), x2 + across, x1 + along * (x2 - x1))
    y = (y1 + along * (y2 - y1), y1 + across, y1 + along * (y2 - y1), y2 + across)
    shape = tf.concat((tf.shape(corners)[:2], (len(ALONG), len(ACROSS))), axis=0)
    flat = tf.concat((tf.shape(corners), (POINTS,)), axis=0)
    stacked = [tf.stack([tf.broadcast_to(part, shape) for part in parts], axis=2) for parts in (x, y)]
    return tf.reshape(stacked[0], flat), tf.reshape(stacked[1], flat)


def _sample(edges: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """The map cell_features points [b, n, 4, 15], each side in its own channels: [b, n, 4, 15 * 8]."""
    cells = tf.reshape(edges, [-1, CELLS * CELLS * SIDES, PER_SIDE])
    side = tf.range(SIDES)[:, tf.newaxis]
    x, y = (tf.clip_by_value(tensor - 0.5, 0.0, CELLS - 1.0) for tensor in (x, y))
    left, top = tf.floor(x), tf.floor(y)
    right, low = tf.minimum(left + 1, CELLS - 1.0), tf.minimum(top + 1, CELLS - 1.0)

    def cell_features(column: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
        cell = tf.cast(row, tf.int32) * CELLS + tf.cast(column, tf.int32)
        return tf.gather(cells, cell * SIDES + side, batch_dims=1)

    across, down = (x - left)[..., tf.newaxis], (y - top)[..., tf.newaxis]
    above = cell_features(left, top) + across * (cell_features(right, top) - cell_features(left, top))
    below = cell_features(left, low) + across * (cell_features(right, low) - cell_features(left, low))
    return tf.reshape(above + down * (below - above), tf.concat((tf.shape(x)[:3], (POINTS * PER_SIDE,)), axis=0))


def decode(heat: tf.Tensor, distances: tf.Tensor, refine: Refine) -> dict[str, tf.Tensor]:
    """`network.decode`, step by step: heat [b, 128, 128, c], distances [b, 128, 128, 4c] -> the outputs."""
    corners, scores, kinds = peaks(heat, distances, refine)
    scores = tf.where(_suppressed(corners, kinds), 0.0, scores)
    order = _highest(scores)
    return {
        "detection_boxes": tf.gather(tf.stack(corners, axis=2) / float(CELLS), order, batch_dims=1),
        "detection_scores": tf.gather(scores, order, batch_dims=1),
        "detection_classes": tf.gather(tf.cast(kinds + 1, tf.float32), order, batch_dims=1),
        "num_detections": tf.fill([tf.shape(scores)[0]], float(DETECTIONS)),
    }


def peaks(heat: tf.Tensor, distances: tf.Tensor, refine: Refine) -> tuple[list[tf.Tensor], tf.Tensor, tf.Tensor]:
    """The strongest peaks of the maps before non-maximum suppression: y1, x1, y2, x2 in cells, scores and classes,
    [b, 100] each. Rows beyond the last peak have the score 0."""
    classes, cells = heat.shape[3], CELLS * CELLS
    scores = tf.sigmoid(heat)
    strongest = tf.nn.max_pool2d(scores, ksize=PEAK_WINDOW, strides=1, padding="SAME")
    scores = tf.where(tf.equal(scores, strongest), scores, 0.0)  # `==` would compare objects in a graph
    scores = tf.reshape(tf.transpose(scores, [0, 3, 1, 2]), [-1, classes * cells])
    chosen = _highest(scores)
    scores = tf.gather(scores, chosen, batch_dims=1)
    kinds, cell = chosen // cells, chosen % cells

    sides = tf.exp(tf.minimum(distances, MAX_LOG_DISTANCE))
    sides = tf.transpose(tf.reshape(sides, [-1, cells, classes, 4]), [0, 2, 1, 3])
    sides = tf.gather(tf.reshape(sides, [-1, classes * cells, 4]), chosen, batch_dims=1)
    left, top, right, bottom = tf.unstack(sides, axis=2)
    x = tf.cast(cell % CELLS, tf.float32) + 0.5
    y = tf.cast(cell // CELLS, tf.float32) + 0.5
    found = refine(tf.stack((x - left, y - top, x + right, y + bottom), axis=2), kinds)
    corners = [tf.clip_by_value(found[:, :, side], 0.0, float(CELLS)) for side in (1, 0, 3, 2)]
    return corners, scores, kinds


def _highest(scores: tf.Tensor) -> tf.Tensor:
    """`network.highest_first`: indices [b, 100] of the highest scores [b, n], descending; equal ones in order."""
    count = scores.shape[1]
    index = tf.range(count, dtype=tf.int64)
    keys = tf.cast(tf.bitcast(scores, tf.int32), tf.int64) * count + (count - 1 - index)
    return tf.math.top_k(keys, DETECTIONS, sorted=True).indices


def _suppressed(corners: list[tf.Tensor], kinds: tf.Tensor) -> tf.Tensor:
    """`network._suppressed`: which of n boxes, strongest first, overlap a stronger one of their class too much."""
    y1, x1, y2, x2 = corners

    def pairs(tensor: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tensor[:, :, tf.newaxis], tensor[:, tf.newaxis, :]

    wide = tf.minimum(*pairs(x2)) - tf.maximum(*pairs(x1))
    high = tf.minimum(*pairs(y2)) - tf.maximum(*pairs(y1))
    shared = tf.maximum(wide, 0.0) * tf.maximum(high, 0.0)
    one, other = pairs((x2 - x1) * (y2 - y1))
    rank = tf.range(DETECTIONS)
    suppressed = (shared > NMS_IOU * (one + other - shared)) & tf.equal(*pairs(kinds)) & (rank < rank[:, tf.newaxis])
    return tf.reduce_any(suppressed, axis=2)
