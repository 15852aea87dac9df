"""The training targets of a view: heat at the centres of the boxes, distances from there to their sides."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.boxes import Box
from training.data.views import View
from training.model.layout import PEAK_AT_LEFT, STRIDE

SIGMA_FACTOR, SIGMA_OFFSET, MAX_SIGMA = 0.09, 1 / 6 + 0.05, 3.0
"""Standard deviation of a peak in cells: SIGMA_FACTOR * size of the box + SIGMA_OFFSET, at most MAX_SIGMA."""
MIN_CORE_HEAT = 0.3
"""The distances are learnt at the core of a peak, the cells with more heat than this."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Targets:
    """Targets for c classes on h x w cells. At k of the cells, distances are learnt."""

    heat: Floats
    """[c, h, w], 0..1: 1 at the centre of a box, or, for classes in PEAK_AT_LEFT, of the square at its left end."""
    mask: npt.NDArray[np.bool_]
    """[c, h, w]: False for cells where it is unknown whether there is an object of this class. They have no loss."""
    cells: npt.NDArray[np.int64]
    """[k, 3]: class, row, column."""
    sides: Floats
    """[k, 4]: cells to left, top, right, bottom."""
    weights: Floats
    """[k]: the weights of a box's cells have the sum 1, or less if some cells belong to a smaller box."""


def targets(view: View, labels: Sequence[str], known: Collection[str]) -> Targets:
    """The targets of a view of a picture in which the `known` labels were annotated."""
    rows, columns = view.pixels.shape[0] // STRIDE, view.pixels.shape[1] // STRIDE
    heat = np.zeros((len(labels), rows, columns), np.float32)
    mask = np.zeros(heat.shape, np.bool_)
    mask[[number for number, label in enumerate(labels) if label in known]] = True
    for place in view.unclear:
        mask[:, _cells_between(place.y1, place.y2), _cells_between(place.x1, place.x2)] = False
    # For each cell: its weight, and the box whose distances it learns. Small boxes come last and replace larger ones.
    owners: dict[tuple[int, int, int], tuple[float, Box]] = {}
    for box in sorted(view.boxes, key=lambda box: box.area, reverse=True):
        kind = labels.index(box.label)
        end = min(box.x2, box.x1 + box.height) if box.label in PEAK_AT_LEFT else box.x2
        down, top = _gaussian(box.y1 / STRIDE, box.y2 / STRIDE, rows)
        across, left = _gaussian(box.x1 / STRIDE, end / STRIDE, columns)
        peak = np.outer(down, across)
        region = heat[kind, top : top + len(down), left : left + len(across)]
        np.maximum(region, peak, out=region)
        core = np.argwhere(peak > MIN_CORE_HEAT)
        highest = peak.max()
        cells = [
            (row, column, peak[row, column])
            for row, column in core.tolist()
            if peak[row, column] == highest or min(_sides(box, left + column, top + row)) > 0  # inside the box
        ]
        total = sum(weight for _, _, weight in cells)
        for row, column, weight in cells:
            owners[kind, top + row, left + column] = (float(weight / total), box)
    cell_indices = np.array(list(owners), np.int64).reshape(-1, 3)
    sides = [_sides(box, column, row) for (_, row, column), (_, box) in owners.items()]
    return Targets(
        heat,
        mask,
        cell_indices,
        np.maximum(np.array(sides, np.float32).reshape(-1, 4), 0.05),
        np.array([weight for weight, _ in owners.values()], np.float32),
    )


def _cells_between(start: float, end: float) -> slice:
    return slice(max(0, int(start / STRIDE)), math.ceil(end / STRIDE))


def _gaussian(start: float, end: float, cells: int) -> tuple[Floats, int]:
    """A Gaussian along one axis, 1 at the middle cell, and the index of its first cell."""
    middle = min(cells - 1, int((start + end) / 2))
    sigma = min(MAX_SIGMA, SIGMA_FACTOR * (end - start) + SIGMA_OFFSET)
    reach = math.ceil(3.5 * sigma)
    first, last = max(0, middle - reach), min(cells - 1, middle + reach)
    offsets = np.arange(first, last + 1, dtype=np.float32) - middle
    return np.exp(-(offsets**2) / np.float32(2 * sigma**2)), first


def _sides(box: Box, column: int, row: int) -> tuple[float, float, float, float]:
    x, y = column + 0.5, row + 0.5
    return x - box.x1 / STRIDE, y - box.y1 / STRIDE, box.x2 / STRIDE - x, box.y2 / STRIDE - y
