"""Batches for the training: augmented pictures of about the same aspect ratio. The same seed gives the same batches."""

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
from training.data.views import VIEW_INPUT, augment
from training.model.layout import VIEW_SIZE

ASPECT_GROUPS = 6
"""Number of groups into which pictures are sorted by aspect ratio. A batch has pictures of one group, so its views need
less grey padding than the model's input. This makes a step a fifth faster."""
FULL_PADDING_SHARE = 0.15
"""Share of the batches whose views are square, with all the padding of the detector's input."""
MULTIPLE = 32
"""Pixels. Width and height of the network's input must be multiples of this."""

Batch = dict[str, Tensor]
"""image uint8 [b, h, w, 3]; heat float32, mask bool [b, c, h/4, w/4]; and for k cells: cells int64 [k, 4] (picture,
class, row, column), sides float32 [k, 4] in cells, weights float32 [k]. `Targets` describes them."""


@dataclass(frozen=True)
class Source:
    """Labelled pictures, and the share of the pictures in a batch that come from this source."""

    examples: Sequence[Example]
    share: float


class Batches(Dataset[Batch]):
    """Batch number n depends only on n and the seed, so that a stopped training resumes with the next batch."""

    def __init__(self, sources: Sequence[Source], labels: Sequence[str], *, size: int, count: int, seed: int) -> None:
        self.labels, self.size, self.count, self.seed = tuple(labels), size, count, seed
        self._shares = [source.share for source in sources]
        self._groups = [_by_aspect_ratio(source.examples) for source in sources]
        self._view_sizes = [
            _view_size([example for groups in self._groups for example in groups[n]]) for n in range(ASPECT_GROUPS)
        ]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Batch:
        rng = Random(f"{self.seed} {number}")
        shape = rng.randrange(ASPECT_GROUPS)
        groups = [source[shape] for source in rng.choices(self._groups, self._shares, k=self.size)]
        size = (VIEW_SIZE, VIEW_SIZE) if rng.random() < FULL_PADDING_SHARE else self._view_sizes[shape]
        examples = [rng.choice(group) for group in groups]
        views = [augment(rng, example, size) for example in examples]
        found = [targets(view, self.labels, example.known) for view, example in zip(views, examples, strict=True)]
        cells = [np.insert(one.cells, 0, place, axis=1) for place, one in enumerate(found)]
        arrays = {
            "image": np.stack([view.pixels for view in views]),
            "heat": np.stack([one.heat for one in found]),
            "mask": np.stack([one.mask for one in found]),
            "cells": np.concatenate(cells),
            "sides": np.concatenate([one.sides for one in found]),
            "weights": np.concatenate([one.weights for one in found]),
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _by_aspect_ratio(examples: Sequence[Example]) -> list[list[Example]]:
    """Splits into ASPECT_GROUPS groups of about the same number of pictures, from the widest to the highest."""
    ordered = sorted(examples, key=lambda example: (example.height / example.width, str(example.file)))
    ends = [round(len(ordered) * number / ASPECT_GROUPS) for number in range(ASPECT_GROUPS + 1)]
    # With fewer pictures than ASPECT_GROUPS, an empty group gets the picture of its neighbour.
    return [ordered[a:b] or [ordered[min(a, len(ordered) - 1)]] for a, b in pairwise(ends)]


def _view_size(examples: Sequence[Example]) -> tuple[int, int]:
    """Median width and height of the scaled pictures, rounded up to multiples of MULTIPLE."""
    sizes = [content_size(example.width, example.height, VIEW_INPUT) for example in examples]
    width, height = (min(VIEW_SIZE, math.ceil(median(side) / MULTIPLE) * MULTIPLE) for side in zip(*sizes, strict=True))
    return width, height
