"""Border refinement: moves the sides of a rough box to where the object ends, after BorderDet (arXiv 2007.11056).

The features at the centre of an object give only a rough position of its sides. Therefore the network also predicts an
edge map. This module samples it at points around each side of a box and predicts how far the side has to move.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.model.layout import ACROSS, ALONG, PER_SIDE, POINTS, SIDES

HIDDEN_CHANNELS = 32


class BorderRefinement(nn.Module):
    """A small network for each of the four sides. All classes share its weights, but each class has its own bias."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        inputs = POINTS * PER_SIDE
        self.seen = nn.Parameter(torch.randn(SIDES, inputs, HIDDEN_CHANNELS) / math.sqrt(inputs))
        self.kind = nn.Parameter(torch.zeros(classes, SIDES * HIDDEN_CHANNELS))
        self.move = nn.Parameter(torch.zeros(SIDES, HIDDEN_CHANNELS))

    def forward(self, edges: Tensor, picture: Tensor, corners: Tensor, kinds: Tensor) -> Tensor:
        """The refined corners of k boxes.

        edges [b, 32, h, w]; picture int64 [k], 0..b-1; corners [k, 4] as x1, y1, x2, y2 in cells; kinds int64 [k], the
        classes -> [k, 4] like corners.
        """
        # `embedding` makes runs repeatable: the gradient of an index is summed in another order in every run.
        x, y = _points(corners)
        samples = _sample(edges, picture, x, y).flatten(2)
        bias = functional.embedding(kinds, self.kind).reshape(-1, SIDES, HIDDEN_CHANNELS)
        hidden = torch.relu(torch.einsum("ksi,sih->ksh", samples, self.seen) + bias)
        return corners + (hidden * self.move).sum(dim=2)


def _points(corners: Tensor) -> tuple[Tensor, Tensor]:
    """x and y, [k, 4, 15] each, in cells, of the points around the sides of k boxes."""
    x1, y1, x2, y2 = (side[:, None, None] for side in corners.unbind(1))
    along = torch.tensor(ALONG, device=corners.device)[:, None]
    across = torch.tensor(ACROSS, device=corners.device)[None, :]
    x = (x1 + across, x1 + along * (x2 - x1), x2 + across, x1 + along * (x2 - x1))
    y = (y1 + along * (y2 - y1), y1 + across, y1 + along * (y2 - y1), y2 + across)
    shape = (-1, len(ALONG), len(ACROSS))

    def stacked(parts: Sequence[Tensor]) -> Tensor:
        return torch.stack([part.expand(shape) for part in parts], dim=1).flatten(2)

    return stacked(x), stacked(y)


def _sample(edges: Tensor, picture: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The edge map at points [k, 4, 15], each side in its own channels, interpolated bilinearly: [k, 4, 15, 8]."""
    _, _, height, width = edges.shape
    cells = edges.permute(0, 2, 3, 1).reshape(-1, PER_SIDE)  # a row for each picture, cell and side
    side = torch.arange(SIDES, device=x.device)[:, None]
    x, y = (x - 0.5).clamp(0.0, width - 1.0), (y - 0.5).clamp(0.0, height - 1.0)
    left, top = x.detach().floor(), y.detach().floor()
    right, low = (left + 1).clamp(max=width - 1.0), (top + 1).clamp(max=height - 1.0)

    def cell_features(column: Tensor, row: Tensor) -> Tensor:
        cell = (picture[:, None, None] * height + row.to(torch.int64)) * width + column.to(torch.int64)
        return functional.embedding(cell * SIDES + side, cells)

    across, down = (x - left)[..., None], (y - top)[..., None]
    above = torch.lerp(cell_features(left, top), cell_features(right, top), across)
    below = torch.lerp(cell_features(left, low), cell_features(right, low), across)
    return torch.lerp(above, below, down)
