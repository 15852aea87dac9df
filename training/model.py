"""The card detector: a small convolutional network and the decoding of its maps into boxes.

The network finds the centre of every part of a card (a heat map per class, after "Objects as Points",
arXiv 1904.07850) and, per class, the distances from there to the four sides of its box. Everything is an ordinary
operator with explicit padding, so that another framework can rebuild it layer by layer with the same weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.layout import DETECTIONS, LABELS, LONGEST_LOG, STRIDE


class Convolution(nn.Sequential):
    """Convolution with zero padding of half its kernel, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class Residual(nn.Module):
    """Two 3x3 convolutions whose result is added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = Convolution(channels, channels)
        self.second = Convolution(channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        """[b, c, h, w] -> the same shape."""
        added: Tensor = self.second(self.first(features))
        return features + added


class CardNetwork(nn.Module):
    """From pixels to maps. An encoder down to a 32nd of the size, a decoder back up to a quarter, two heads."""

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 80, 96), depth: int = 64) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth, thirtysecond = widths
        self.stem = nn.Sequential(Convolution(3, half, stride=2), Convolution(half, quarter, stride=2))
        self.stage4 = Residual(quarter)
        self.stage8 = nn.Sequential(Convolution(quarter, eighth, stride=2), Residual(eighth))
        self.stage16 = nn.Sequential(Convolution(eighth, sixteenth, stride=2), Residual(sixteenth), Residual(sixteenth))
        self.stage32 = nn.Sequential(
            Convolution(sixteenth, thirtysecond, stride=2), Residual(thirtysecond), Residual(thirtysecond)
        )
        self.lateral32 = Convolution(thirtysecond, sixteenth, kernel=1)
        self.merge16 = Convolution(sixteenth, sixteenth)
        self.lateral16 = Convolution(sixteenth, eighth, kernel=1)
        self.merge8 = Convolution(eighth, eighth)
        self.lateral8 = Convolution(eighth, quarter, kernel=1)
        self.merge4 = Convolution(quarter, depth)
        self.heat = nn.Conv2d(depth, len(LABELS), 1)
        self.distances = nn.Conv2d(depth, 4 * len(LABELS), 1)
        nn.init.normal_(self.heat.weight, std=0.01)
        nn.init.constant_(self.heat.bias, -4.0)  # type: ignore[arg-type]
        nn.init.normal_(self.distances.weight, std=0.01)
        nn.init.constant_(self.distances.bias, 1.0)  # type: ignore[arg-type]

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels [b, 3, h, w], RGB, -1..1 -> heat [b, 6, h/4, w/4] as logits, log distances [b, 24, h/4, w/4].

        The 24 channels are left, top, right, bottom of class 0, then of class 1, and so on.
        h and w are multiples of 32.
        """
        at4 = self.stage4(self.stem(pixels))
        at8 = self.stage8(at4)
        at16 = self.stage16(at8)
        at32 = self.stage32(at16)
        at16 = self.merge16(at16 + _twice(self.lateral32(at32)))
        at8 = self.merge8(at8 + _twice(self.lateral16(at16)))
        at4 = self.merge4(at4 + _twice(self.lateral8(at8)))
        return self.heat(at4), self.distances(at4)


class CardDetector(nn.Module):
    """What is exported: the network between uint8 pictures and finished detections."""

    def __init__(self, network: CardNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Letterboxed RGB pictures, uint8 [b, h, w, 3] -> boxes, scores, classes as `decode` gives them."""
        pixels = image.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1.0
        heat, distances = self.network(pixels)
        return decode(heat, distances)


def decode(heat: Tensor, distances: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The 100 strongest peaks of the heat maps with their boxes.

    heat [b, 6, h, w] logits, distances [b, 24, h, w] logarithms of cells ->
    boxes float32 [b, 100, 4] as x1, y1, x2, y2 in pixels of the input, inside it;
    scores float32 [b, 100], 0..1, descending; classes int64 [b, 100].
    A cell is a peak if no neighbour in its 3x3 window is stronger. Of equal scores the lower flat index
    (class, then row, then column) comes first, which is also what `tf.math.top_k` does.
    """
    batch, classes, height, width = heat.shape
    cells = height * width
    scores = torch.sigmoid(heat)
    strongest = functional.max_pool2d(scores, kernel_size=3, stride=1, padding=1)
    scores = torch.where(scores == strongest, scores, 0.0).reshape(batch, classes * cells)

    # The bits of floats >= 0, read as integers, are in the order of the floats; the index below them makes
    # every key unique, so the choice is the same everywhere.
    index = torch.arange(classes * cells, device=heat.device)
    keys = scores.view(torch.int32).to(torch.int64) * (classes * cells) + (classes * cells - 1 - index)
    chosen = torch.topk(keys, DETECTIONS, dim=1, sorted=True).indices

    sides = torch.exp(distances.clamp(max=LONGEST_LOG)).reshape(batch, classes, 4, cells)
    sides = sides.permute(0, 2, 1, 3).reshape(batch, 4, classes * cells)
    left, top, right, bottom = torch.gather(sides, 2, chosen[:, None, :].expand(-1, 4, -1)).unbind(1)

    cell = chosen % cells
    x = (cell % width).to(torch.float32) + 0.5
    y = (cell // width).to(torch.float32) + 0.5
    x1, x2 = ((side * STRIDE).clamp(0.0, float(width * STRIDE)) for side in (x - left, x + right))
    y1, y2 = ((side * STRIDE).clamp(0.0, float(height * STRIDE)) for side in (y - top, y + bottom))
    return torch.stack((x1, y1, x2, y2), dim=2), torch.gather(scores, 1, chosen), chosen // cells


def _twice(features: Tensor) -> Tensor:
    """[b, c, h, w] -> [b, c, 2h, 2w], every value repeated."""
    return functional.interpolate(features, scale_factor=2.0, mode="nearest")
