"""What a training step works on: pictures of about one shape, from several collections, the same for the same seed."""

from __future__ import annotations

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
from training.data.views import VIEW, varied
from training.model.layout import VIEW_SIZE

SHAPES = 6
"""Pictures are sorted by their shape into so many groups, and a batch is made of one, without most of the grey that
pictures have beside them in the model's input: a fifth less work."""
WHOLE = 0.15
"""Share of the batches that keep the grey, as the detector will see it."""
GRAIN = 32
"""Pixels: sizes that the network takes are multiples of this."""

Batch = dict[str, Tensor]
"""image uint8 [b, h, w, 3]; heat float32, care bool [b, c, h/4, w/4]; and of k cells: cells int64 [k, 4] (picture,
class, row, column), sides float32 [k, 4] in cells, weights float32 [k]."""


@dataclass(frozen=True)
class Source:
    """Labelled pictures, and how often (in proportion to the other sources) one of them is looked at."""

    examples: Sequence[Example]
    share: float


class Batches(Dataset[Batch]):
    """Batch number n is always the same, so that a training that was stopped can go on where it was."""

    def __init__(self, sources: Sequence[Source], labels: Sequence[str], *, size: int, count: int, seed: int) -> None:
        self.labels, self.size, self.count, self.seed = tuple(labels), size, count, seed
        self._shares = [source.share for source in sources]
        self._groups = [_by_shape(source.examples) for source in sources]
        self._rooms = [_room([example for groups in self._groups for example in groups[n]]) for n in range(SHAPES)]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Batch:
        rng = Random(f"{self.seed} {number}")
        shape = rng.randrange(SHAPES)
        groups = [source[shape] for source in rng.choices(self._groups, self._shares, k=self.size)]
        room = (VIEW_SIZE, VIEW_SIZE) if rng.random() < WHOLE else self._rooms[shape]
        examples = [rng.choice(group) for group in groups]
        views = [varied(rng, example, room) for example in examples]
        wanted = [targets(view, self.labels, example.known) for view, example in zip(views, examples, strict=True)]
        cells = [np.insert(one.cells, 0, place, axis=1) for place, one in enumerate(wanted)]
        arrays = {
            "image": np.stack([view.pixels for view in views]),
            "heat": np.stack([one.heat for one in wanted]),
            "care": np.stack([one.care for one in wanted]),
            "cells": np.concatenate(cells),
            "sides": np.concatenate([one.sides for one in wanted]),
            "weights": np.concatenate([one.weights for one in wanted]),
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _by_shape(examples: Sequence[Example]) -> list[list[Example]]:
    """As many groups as there are SHAPES, of about the same size, from the widest pictures to the highest."""
    ordered = sorted(examples, key=lambda example: (example.height / example.width, str(example.file)))
    ends = [round(len(ordered) * number / SHAPES) for number in range(SHAPES + 1)]
    # Of fewer pictures than shapes some groups borrow their neighbour's.
    return [ordered[a:b] or [ordered[min(a, len(ordered) - 1)]] for a, b in pairwise(ends)]


def _room(examples: Sequence[Example]) -> tuple[int, int]:
    """Width and height that half of the pictures fit into without a margin, as multiples of GRAIN."""
    sizes = [content_size(example.width, example.height, VIEW) for example in examples]
    width, height = (min(VIEW_SIZE, math.ceil(median(side) / GRAIN) * GRAIN) for side in zip(*sizes, strict=True))
    return width, height
