"""The detector: a small convolutional network, and the decoding of its maps into boxes.

The network predicts the centre of every object (a heatmap per class, after CenterNet, "Objects as Points",
arXiv 1904.07850) and, per class, the distances from there to the four sides of its box. All operators are ordinary ones
with explicit padding, so that another framework can rebuild the network layer by layer with the same weights.
`training.model.border_refinement` then refines the sides of each box.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.model.border_refinement import BorderRefinement
from training.model.layout import (
    DETECTIONS,
    DILATION,
    MAX_LOG_DISTANCE,
    NMS_IOU,
    PEAK_WINDOW,
    PER_SIDE,
    SIDES,
    STRIDE,
)

Highest = Callable[[Tensor], Tensor]
"""Scores [b, n] -> the indices [b, 100] of the highest ones, descending; of equal scores the first comes first."""


def highest_first(scores: Tensor) -> Tensor:
    """`Highest` for PyTorch, whose `topk` may take equal scores in any order.

    The bits of floats >= 0, read as integers, sort like the floats. The index in the low digits makes every
    key unique. So of equal scores the first comes first, as in `tf.math.top_k`.
    """
    count = scores.shape[1]
    index = torch.arange(count, device=scores.device)
    keys = scores.contiguous().view(torch.int32).to(torch.int64) * count + (count - 1 - index)
    return torch.topk(keys, DETECTIONS, dim=1, sorted=True).indices


class Convolution(nn.Sequential):
    """Convolution with zero padding that keeps the size, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> None:
        padding = dilation * (kernel // 2)
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, dilation=dilation, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class Residual(nn.Module):
    """Two 3x3 convolutions whose result is added to their input."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.first = Convolution(channels, channels, dilation=dilation)
        self.second = Convolution(channels, channels, dilation=dilation)

    def forward(self, features: Tensor) -> Tensor:
        """[b, c, h, w] -> the same shape."""
        added: Tensor = self.second(self.first(features))
        return features + added


class CenterNet(nn.Module):
    """From pixels to maps: an encoder down to a 32nd of the size, a decoder up to a quarter of the size, three heads.

    Large maps have few channels, because most of the time is spent on them, and small text needs resolution more than
    channels.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth, thirtysecond = 16, 24, 48, 80, 112
        depth = 48
        self.stem = nn.Sequential(Convolution(3, half, stride=2), Convolution(half, quarter, stride=2))
        self.stage4 = Residual(quarter)
        self.stage8 = nn.Sequential(Convolution(quarter, eighth, stride=2), Residual(eighth))
        self.stage16 = nn.Sequential(Convolution(eighth, sixteenth, stride=2), Residual(sixteenth), Residual(sixteenth))
        self.stage32 = nn.Sequential(
            Convolution(sixteenth, thirtysecond, stride=2), Residual(thirtysecond), Residual(thirtysecond, DILATION)
        )
        self.lateral32 = Convolution(thirtysecond, sixteenth, kernel=1)
        self.merge16 = Convolution(sixteenth, sixteenth)
        self.lateral16 = Convolution(sixteenth, eighth, kernel=1)
        self.merge8 = Convolution(eighth, eighth)
        self.lateral8 = Convolution(eighth, quarter, kernel=1)
        self.merge4 = Convolution(quarter, depth)
        self.heat = nn.Conv2d(depth, classes, 1)
        self.distances = nn.Conv2d(depth, 4 * classes, 1)
        self.edges = nn.Conv2d(depth, SIDES * PER_SIDE, 1)
        self.borders = BorderRefinement(classes)
        # The classes' weights must differ from the start. Otherwise the weights of similar classes stay the same.
        nn.init.normal_(self.heat.weight, std=0.1)
        nn.init.constant_(self.heat.bias, -4.0)  # type: ignore[arg-type]
        nn.init.normal_(self.distances.weight, std=0.01)
        nn.init.constant_(self.distances.bias, 1.0)  # type: ignore[arg-type]

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels [b, 3, h, w], RGB, -1..1 -> heat [b, c, h/4, w/4] as logits, log distances [b, 4c, h/4, w/4], and
        the edge map [b, 32, h/4, w/4] for `self.borders`.

        The 4c channels are left, top, right, bottom of class 0, then of class 1, and so on, in cells.
        h and w are multiples of 32.
        """
        x4 = self.stage4(self.stem(pixels))
        x8 = self.stage8(x4)
        x16 = self.stage16(x8)
        x32 = self.stage32(x16)
        x16 = self.merge16(x16 + _upsampled(self.lateral32(x32)))
        x8 = self.merge8(x8 + _upsampled(self.lateral16(x16)))
        x4 = self.merge4(x4 + _upsampled(self.lateral8(x8)))
        return self.heat(x4), self.distances(x4), self.edges(x4)


class Program(nn.Module):
    """The module that is exported: from uint8 pictures through the network to finished detections."""

    def __init__(self, network: CenterNet, highest: Highest = highest_first) -> None:
        super().__init__()
        self.network = network
        self.highest = highest

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Letterboxed RGB pictures, uint8 [b, h, w, 3] -> boxes, scores, classes as `decode` returns them."""
        heat, distances, edges = self.network(image.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1.0)

        def refine(corners: Tensor, kinds: Tensor) -> Tensor:
            picture = torch.arange(corners.shape[0], device=corners.device)[:, None].expand(-1, DETECTIONS)
            found: Tensor = self.network.borders(edges, picture.flatten(), corners.flatten(0, 1), kinds.flatten())
            return found.reshape(-1, DETECTIONS, 4)

        return decode(heat, distances, refine, self.highest)


def decode(
    heat: Tensor, distances: Tensor, refine: Callable[[Tensor, Tensor], Tensor], highest: Highest = highest_first
) -> tuple[Tensor, Tensor, Tensor]:
    """The boxes of the 100 strongest peaks of the heatmaps, after non-maximum suppression.

    heat [b, c, h, w] logits; distances [b, 4c, h, w] logarithms of cells; `refine` takes corners [b, 100, 4] in cells
    and classes [b, 100], and returns refined corners ->
    boxes float32 [b, 100, 4] as x1, y1, x2, y2 in pixels of the input, inside it;
    scores float32 [b, 100], 0..1, descending; classes int64 [b, 100].
    A cell is a peak if no neighbour in its window is stronger. A box gets the score 0 if its IoU with a stronger box of
    its class is above NMS_IOU, even if the stronger box is suppressed itself (Fast NMS, arXiv 1904.02689, section
    4.1).
    """
    batch, classes, height, width = heat.shape
    cells = height * width
    scores = torch.sigmoid(heat)
    padding = (PEAK_WINDOW[0] // 2, PEAK_WINDOW[1] // 2)
    strongest = functional.max_pool2d(scores, kernel_size=PEAK_WINDOW, stride=1, padding=padding)
    scores = torch.where(scores == strongest, scores, 0.0).reshape(batch, classes * cells)
    chosen = highest(scores)
    scores = torch.gather(scores, 1, chosen)
    kinds, cell = chosen // cells, chosen % cells

    sides = torch.exp(distances.clamp(max=MAX_LOG_DISTANCE)).reshape(batch, classes, 4, cells)
    sides = sides.permute(0, 2, 1, 3).reshape(batch, 4, classes * cells)
    left, top, right, bottom = torch.gather(sides, 2, chosen[:, None, :].expand(-1, 4, -1)).unbind(1)
    x = (cell % width).to(torch.float32) + 0.5
    y = (cell // width).to(torch.float32) + 0.5
    corners = refine(torch.stack((x - left, y - top, x + right, y + bottom), dim=2), kinds)
    x1, x2 = (corners[:, :, side].clamp(0.0, float(width)) for side in (0, 2))
    y1, y2 = (corners[:, :, side].clamp(0.0, float(height)) for side in (1, 3))

    scores = torch.where(_suppressed(x1, y1, x2, y2, kinds), 0.0, scores)
    order = highest(scores)
    boxes = torch.stack((x1, y1, x2, y2), dim=2) * STRIDE
    boxes = torch.gather(boxes, 1, order[:, :, None].expand(-1, -1, 4))
    return boxes, torch.gather(scores, 1, order), torch.gather(kinds, 1, order)


def _suppressed(x1: Tensor, y1: Tensor, x2: Tensor, y2: Tensor, kinds: Tensor) -> Tensor:
    """Which of n boxes overlap a stronger one of their class too much: bool [b, n].

    The sides and the classes are [b, n] each, strongest box first.
    """

    def pairs(tensor: Tensor) -> tuple[Tensor, Tensor]:
        return tensor[:, :, None], tensor[:, None, :]

    wide = torch.minimum(*pairs(x2)) - torch.maximum(*pairs(x1))
    high = torch.minimum(*pairs(y2)) - torch.maximum(*pairs(y1))
    shared = wide.clamp(min=0.0) * high.clamp(min=0.0)
    one, other = pairs((x2 - x1) * (y2 - y1))
    rank = torch.arange(kinds.shape[1], device=kinds.device)
    kind, other_kind = pairs(kinds)
    suppressed = (shared > NMS_IOU * (one + other - shared)) & (kind == other_kind) & (rank[None, :] < rank[:, None])
    return suppressed.any(dim=2)


def _upsampled(features: Tensor) -> Tensor:
    """[b, c, h, w] -> [b, c, 2h, 2w], every value repeated (nearest neighbour)."""
    return functional.interpolate(features, scale_factor=2.0, mode="nearest")
