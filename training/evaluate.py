"""How good a detector is on pictures with known boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.data import Example, as_input
from training.layout import LABELS
from training.sheet import Box

Found = tuple[Box, float]
"""A box in the picture's pixels and its score, 0..1."""
Program = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
"""What is exported: uint8 [b, 384, 384, 3] -> boxes, scores, classes."""


@dataclass(frozen=True)
class Quality:
    """Of one label: how many boxes there are; at IoU 0.5 recall and precision at a score, and AP over all scores."""

    label: str
    boxes: int
    recall: float
    precision: float
    ap50: float


@torch.no_grad()
def detect(program: Program, examples: Sequence[Example]) -> list[list[Found]]:
    """What the program finds, per picture."""
    answers = []
    for example in examples:
        square, scale = as_input(example.image)
        boxes, scores, classes = program(torch.from_numpy(square.copy())[None])
        answers.append(
            [
                (Box(LABELS[kind], *(float(side) / scale for side in box)), float(score))
                for box, score, kind in zip(boxes[0], scores[0], classes[0].tolist(), strict=True)
            ]
        )
    return answers


def assess(program: Program, examples: Sequence[Example], score: float = 0.3, overlap: float = 0.5) -> list[Quality]:
    """Quality per label that occurs in the examples. A box is found once, by the highest score that overlaps enough."""
    answers = detect(program, examples)
    return [
        _quality(label, answers, examples, score, overlap)
        for label in LABELS
        if any(box.label == label for example in examples for box in example.boxes)
    ]


def _quality(
    label: str, answers: list[list[Found]], examples: Sequence[Example], least: float, overlap: float
) -> Quality:
    hits: list[tuple[float, bool]] = []
    total = 0
    for found, example in zip(answers, examples, strict=True):
        wanted = [box for box in example.boxes if box.label == label]
        total += len(wanted)
        for box, score in sorted(found, key=lambda pair: -pair[1]):
            if box.label != label:
                continue
            best = max(wanted, key=lambda other: iou(box, other), default=None)
            hit = best is not None and iou(box, best) >= overlap
            if hit and best is not None:
                wanted.remove(best)
            if hit or not any(covered(box, place) > 0.5 for place in example.unclear):
                hits.append((score, hit))
    hits.sort(key=lambda pair: -pair[0])
    counted = [hit for score, hit in hits if score >= least]
    return Quality(
        label, total, sum(counted) / max(1, total), sum(counted) / max(1, len(counted)), _average_precision(hits, total)
    )


def _average_precision(hits: list[tuple[float, bool]], total: int) -> float:
    """Area under the precision-recall curve, every point raised to the best precision at its recall or above."""
    right = np.cumsum([hit for _, hit in hits])
    precision = right / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(sum(p for p, (_, hit) in zip(best, hits, strict=True) if hit) / max(1, total))


def iou(first: Box, second: Box) -> float:
    """Intersection over union, 0..1."""
    shared = _shared(first, second)
    return shared / (_area(first) + _area(second) - shared)


def covered(box: Box, place: Box) -> float:
    """How much of the box lies in that place, 0..1."""
    return _shared(box, place) / max(_area(box), 1e-9)


def _shared(a: Box, b: Box) -> float:
    return max(0.0, min(a.x2, b.x2) - max(a.x1, b.x1)) * max(0.0, min(a.y2, b.y2) - max(a.y1, b.y1))


def _area(box: Box) -> float:
    return max(0.0, box.x2 - box.x1) * max(0.0, box.y2 - box.y1)
