"""The training itself: losses, the loop with its clock, the running average that is kept."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from training.data import Example, Stream
from training.layout import LONGEST_LOG
from training.model import CardNetwork

BATCH = 8
PEAK_RATE = 2e-3
WEIGHT_DECAY = 1e-4
BOX_LOSS = 2.0
WARM_UP = 0.04
"""Share of the time in which the learning rate rises; then it falls along half a cosine."""
AVERAGE = 0.998
"""How much of the running average of the weights survives a step."""


@dataclass(frozen=True)
class Progress:
    """Where the training stands: seconds so far and in all, pictures seen, the losses averaged over some steps."""

    seconds: float
    total_seconds: float
    pictures: int
    heat_loss: float
    box_loss: float


def train(
    real: list[Example], *, minutes: float, seed: int, share: float, threads: int, report: Callable[[Progress], None]
) -> CardNetwork:
    """A network trained for so long on generated cards and a share of real pictures; ready for evaluation."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    network = CardNetwork()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average: CardNetwork = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=WEIGHT_DECAY)
    loader = DataLoader(Stream(seed, real, share), batch_size=BATCH, num_workers=1, prefetch_factor=4)
    started, pictures, heat_mean, box_mean = time.monotonic(), 0, 0.0, 0.0
    for batch in loader:
        done = (time.monotonic() - started) / (60 * minutes)
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * _rate(done)
        heat_loss, box_loss = _losses(network, batch)
        optimizer.zero_grad()
        (heat_loss + BOX_LOSS * box_loss).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimizer.step()
        pictures += len(batch["image"])
        _follow(average, network, min(AVERAGE, pictures / BATCH / (pictures / BATCH + 10)))
        first = pictures == BATCH
        heat_mean = heat_loss.item() if first else 0.95 * heat_mean + 0.05 * heat_loss.item()
        box_mean = box_loss.item() if first else 0.95 * box_mean + 0.05 * box_loss.item()
        report(Progress(time.monotonic() - started, 60 * minutes, pictures, heat_mean, box_mean))
    average.eval()
    return average


def _rate(done: float) -> float:
    if done < WARM_UP:
        return done / WARM_UP
    return 0.5 + 0.5 * math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))


def _losses(network: CardNetwork, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """(heat loss, box loss) of a batch as `Stream` gives it, each per box."""
    pixels = batch["image"].permute(0, 3, 1, 2).float() / 127.5 - 1.0
    with torch.autocast("cpu", torch.bfloat16):
        heat, distances = network(pixels)
    heat = heat.float()
    b, classes, h, w = heat.shape
    sides = distances.float().reshape(b, classes, 4, h, w).permute(0, 1, 3, 4, 2)
    inside = batch["weight"] > 0
    weights = batch["weight"][inside]
    boxes = max(1.0, float(weights.sum()))
    overlap = _generous_overlap(
        torch.exp(sides[inside].clamp(max=LONGEST_LOG)), batch["distances"].permute(0, 1, 3, 4, 2)[inside]
    )
    return _focal(heat, batch["heat"], batch["care"]) / boxes, ((1 - overlap) * weights).sum() / boxes


def _focal(heat: Tensor, wanted: Tensor, care: Tensor) -> Tensor:
    """The focal loss of arXiv 1904.07850, equation 1: alpha 2, beta 4, summed over all cells anybody knows about."""
    chance = torch.sigmoid(heat)
    at_peak = (wanted == 1).float()
    hit = functional.logsigmoid(heat) * (1 - chance) ** 2 * at_peak
    miss = functional.logsigmoid(-heat) * chance**2 * (1 - wanted) ** 4 * (1 - at_peak)
    return -((hit + miss) * care).sum()


def _generous_overlap(found: Tensor, wanted: Tensor) -> Tensor:
    """Generalised IoU (arXiv 1902.09630) of boxes given as distances [n, 4] from the same point, -1..1 each."""
    shared = torch.minimum(found, wanted)
    around = torch.maximum(found, wanted)
    intersection = (shared[:, 0] + shared[:, 2]) * (shared[:, 1] + shared[:, 3])
    hull = (around[:, 0] + around[:, 2]) * (around[:, 1] + around[:, 3])
    areas = [(s[:, 0] + s[:, 2]) * (s[:, 1] + s[:, 3]) for s in (found, wanted)]
    union = areas[0] + areas[1] - intersection
    return intersection / union - (hull - union) / hull


@torch.no_grad()
def _follow(average: CardNetwork, network: CardNetwork, keep: float) -> None:
    """Move the running average of weights and statistics a step towards the network."""
    for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(new, 1 - keep)
        else:
            kept.copy_(new)
