"""Batches for the training: augmented pictures of about one aspect ratio. The same seed gives the same batches."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from detectors.pictures.preprocess import content_size
from training.data.datasets import Example
from training.data.targets import targets
from training.data.views import VIEW, augmented
from training.model.layout import VIEW_SIZE

SHAPES = 6
"""Pictures are sorted by aspect ratio into this many groups, and a batch has pictures of one group. So its views need
little of the grey padding that the model's input has, which makes a step a fifth faster."""
WHOLE = 0.15
"""Share of the batches that have the whole padding, as the detector's input will."""
GRAIN = 32
"""Pixels. The network takes sizes that are multiples of this."""

Batch = dict[str, Tensor]
"""image uint8 [b, h, w, 3]; heat float32, mask bool [b, c, h/4, w/4]; and for k cells: cells int64 [k, 4] (picture,
class, row, column), sides float32 [k, 4] in cells, weights float32 [k]. `Targets` describes them."""


@dataclass(frozen=True)
class Source:
    """Labelled pictures, and how often one of them is drawn, in proportion to the other sources."""

    examples: Sequence[Example]
    share: float


class Batches(Dataset[Batch]):
    """Batch number n is always the same, so that a stopped training can resume where it was."""

    def __init__(self, sources: Sequence[Source], labels: Sequence[str], *, size: int, count: int, seed: int) -> None:
        self.labels, self.size, self.count, self.seed = tuple(labels), size, count, seed
        self._shares = [source.share for source in sources]
        self._groups = [_by_shape(source.examples) for source in sources]
        self._view_sizes = [
            _view_size([example for groups in self._groups for example in groups[n]]) for n in range(SHAPES)
        ]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Batch:
        rng = Random(f"{self.seed} {number}")
        shape = rng.randrange(SHAPES)
        groups = [source[shape] for source in rng.choices(self._groups, self._shares, k=self.size)]
        size = (VIEW_SIZE, VIEW_SIZE) if rng.random() < WHOLE else self._view_sizes[shape]
        examples = [rng.choice(group) for group in groups]
        views = [augmented(rng, example, size) for example in examples]
        wanted = [targets(view, self.labels, example.known) for view, example in zip(views, examples, strict=True)]
        cells = [np.insert(one.cells, 0, place, axis=1) for place, one in enumerate(wanted)]
        arrays = {
            "image": np.stack([view.pixels for view in views]),
            "heat": np.stack([one.heat for one in wanted]),
            "mask": np.stack([one.mask for one in wanted]),
            "cells": np.concatenate(cells),
            "sides": np.concatenate([one.sides for one in wanted]),
            "weights": np.concatenate([one.weights for one in wanted]),
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _by_shape(examples: Sequence[Example]) -> list[list[Example]]:
    """SHAPES groups of about the same number of pictures, from the widest to the highest."""
    ordered = sorted(examples, key=lambda example: (example.height / example.width, str(example.file)))
    ends = [round(len(ordered) * number / SHAPES) for number in range(SHAPES + 1)]
    # With fewer pictures than SHAPES, an empty group gets the picture of its neighbour.
    return [ordered[a:b] or [ordered[min(a, len(ordered) - 1)]] for a, b in pairwise(ends)]


def _view_size(examples: Sequence[Example]) -> tuple[int, int]:
    """Median width and height of the scaled pictures, rounded up to multiples of GRAIN."""
    sizes = [content_size(example.width, example.height, VIEW) for example in examples]
    width, height = (min(VIEW_SIZE, math.ceil(median(side) / GRAIN) * GRAIN) for side in zip(*sizes, strict=True))
    return width, height
