"""The training itself: losses, the loop, the running average that is kept, and the checkpoint to go on from."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

import training
from training.data.batches import Batch, Batches, Source
from training.data.datasets import Example
from training.model.layout import LONGEST_LOG
from training.model.network import CenterNet

WEIGHT_DECAY = 1e-4
BOX_LOSS = 2.0
CERTAINLY_NOT = 0.05
"""Heat below which a class is none of those at a cell."""
NARROW = 0.05
"""Cells: no side of a box is nearer to its middle."""
WARM_UP = 0.04
"""Share of the steps in which the learning rate rises; then it falls along half a cosine."""
AVERAGE = 0.998
"""How much of the running average of the weights survives a step."""
CHECKPOINT_SECONDS = 60.0
MADE_BY = (
    "data/batches",
    "data/targets",
    "data/views",
    "model/border_refinement",
    "model/layout",
    "model/network",
    "model/train",
)
"""Modules of this package that a checkpoint is not gone on from after a change."""
MOST_FEEDERS = 8
"""Processes that make views for a GPU; each remembers pictures of its own."""


@dataclass(frozen=True)
class Plan:
    """How long and how fast to learn. With the same pictures, on the same machine, a plan gives the same weights."""

    steps: int
    rate: float
    """The highest learning rate of AdamW."""
    batch: int = 4
    """Pictures a step. Of few views, many small steps make more than few large ones."""
    seed: int = 1


@dataclass(frozen=True)
class Progress:
    """Where the training stands: steps done, of how many, and the losses averaged over some of them."""

    step: int
    steps: int
    heat_loss: float
    box_loss: float


def train(
    network: CenterNet,
    sources: Sequence[Source],
    labels: Sequence[str],
    plan: Plan,
    *,
    device: str,
    threads: int,
    checkpoint: Path,
    report: Callable[[Progress], None],
) -> CenterNet:
    """Trains a copy of the network and returns the running average of its weights, on the CPU, ready for evaluation.

    A checkpoint of the same start, plan, labels and pictures is gone on from; one that is complete is the answer.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(plan.seed)
    torch.backends.cudnn.deterministic = True
    network = copy.deepcopy(network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average: CenterNet = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=plan.rate, weight_decay=WEIGHT_DECAY)
    made_of = _fingerprint(network, sources, labels, plan)
    done, means = _go_on(checkpoint, made_of, network, average, optimizer)
    batches = Batches(sources, labels, size=plan.batch, count=plan.steps, seed=plan.seed)
    # On the CPU the pictures' share of the work is small; a GPU is fed by many.
    feeders = 1 if device == "cpu" else max(1, min(MOST_FEEDERS, cores() - 1))
    loader = DataLoader(batches, batch_size=None, sampler=range(done, plan.steps), num_workers=feeders)
    saved = time.monotonic()
    for step, batch in enumerate(loader, start=done):
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * _rate(step / plan.steps)
        heat_loss, kind_loss, rough_loss, box_loss = _losses(
            network, {name: tensor.to(device) for name, tensor in batch.items()}
        )
        optimizer.zero_grad()
        (heat_loss + kind_loss + BOX_LOSS * (rough_loss + box_loss)).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimizer.step()
        _follow(average, network, min(AVERAGE, (step + 1) / (step + 11)))
        losses = heat_loss.item(), box_loss.item()
        means = losses if step == 0 else (0.98 * means[0] + 0.02 * losses[0], 0.98 * means[1] + 0.02 * losses[1])
        if step + 1 == plan.steps or time.monotonic() - saved > CHECKPOINT_SECONDS:
            _save(checkpoint, made_of, step + 1, means, network, average, optimizer)
            saved = time.monotonic()
        report(Progress(step + 1, plan.steps, *means))
    return average.to("cpu").eval()


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _rate(done: float) -> float:
    if done < WARM_UP:
        return (done + 1e-3) / WARM_UP
    return 0.5 + 0.5 * math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))


def _losses(network: CenterNet, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of a batch, each per box: of the heat, of the kinds, of the boxes as the distances have them, and after the
    second look at their sides."""
    pixels = batch["image"].permute(0, 3, 1, 2).float() / 127.5 - 1.0
    # Half of the digits are enough where the processor is made for it, which only GPUs are as a rule.
    with torch.autocast(pixels.device.type, torch.bfloat16, enabled=pixels.is_cuda):
        heat, distances, edges = network(pixels)
    heat = heat.float()
    picture, kind, row, column = batch["cells"].unbind(1)
    b, classes, h, w = heat.shape
    sides = distances.float().reshape(b, classes, 4, h, w)[picture, kind, :, row, column]
    boxes = batch["weights"].sum().clamp(min=1.0)
    sides = torch.exp(sides.clamp(max=LONGEST_LOG))
    overlap = _generous_overlap(sides, batch["sides"])
    # The second look is taken where the detector will take it: once a box, from its peak.
    peaks = (batch["heat"][picture, kind, row, column] == 1).nonzero()[:, 0]
    middles = torch.stack((column, row), dim=1)[peaks] + 0.5
    corners = torch.cat((middles - sides[peaks, :2], middles + sides[peaks, 2:]), dim=1).detach()
    corners = network.borders(edges.float(), picture[peaks], corners, kind[peaks])
    exact = torch.cat((middles - corners[:, :2], corners[:, 2:] - middles), dim=1).clamp(min=NARROW)
    exact_overlap = _generous_overlap(exact, batch["sides"][peaks])
    at = picture, slice(None), row, column
    confused = _confused(heat[at], batch["heat"][at], batch["care"][at], kind)
    return (
        _focal(heat, batch["heat"], batch["care"]) / boxes,
        (confused * batch["weights"]).sum() / boxes,
        ((1 - overlap) * batch["weights"]).sum() / boxes,
        (1 - exact_overlap).sum() / boxes,
    )


def _focal(heat: Tensor, wanted: Tensor, care: Tensor) -> Tensor:
    """The focal loss of arXiv 1904.07850, equation 1: alpha 2, beta 4, summed over all cells anybody knows about."""
    chance = torch.sigmoid(heat)
    at_peak = (wanted == 1).float()
    hit = functional.logsigmoid(heat) * (1 - chance) ** 2 * at_peak
    miss = functional.logsigmoid(-heat) * chance**2 * (1 - wanted) ** 4 * (1 - at_peak)
    return -((hit + miss) * care).sum()


def _confused(heat: Tensor, wanted: Tensor, care: Tensor, kind: Tensor) -> Tensor:
    """Cross entropy [k] between the right class of k cells and those that certainly are not there; all else [k, c].

    The focal loss alone settles on "half of either" for classes that look alike but for a detail, such as ring and
    square: as long as their weights are alike, nothing pulls at the features that would tell them apart.
    """
    others = care & (wanted < CERTAINLY_NOT)
    others[torch.arange(len(kind), device=kind.device), kind] = True
    return functional.cross_entropy(heat.masked_fill(~others, -torch.inf), kind, reduction="none")


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
def _follow(average: CenterNet, network: CenterNet, keep: float) -> None:
    """Move the running average of weights and statistics a step towards the network."""
    for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(new, 1 - keep)
        else:
            kept.copy_(new)


def _fingerprint(network: CenterNet, sources: Sequence[Source], labels: Sequence[str], plan: Plan) -> str:
    """Of everything that decides which weights come out."""
    told = hashlib.sha256()
    for tensor in network.state_dict().values():
        told.update(tensor.cpu().contiguous().numpy().tobytes())
    for module in MADE_BY:
        told.update((Path(training.__file__).parent / f"{module}.py").read_bytes())
    pictures = [(source.share, [_told(example) for example in source.examples]) for source in sources]
    told.update(json.dumps([torch.__version__, asdict(plan), list(labels), pictures]).encode())
    return told.hexdigest()


def _told(example: Example) -> list[Any]:
    boxes, unclear = ([asdict(box) for box in some] for some in (example.boxes, example.unclear))
    size = example.file.stat().st_size
    return [str(example.file), size, example.width, example.height, sorted(example.known), boxes, unclear]


def _save(
    checkpoint: Path,
    made_of: str,
    done: int,
    means: tuple[float, float],
    network: CenterNet,
    average: CenterNet,
    optimizer: torch.optim.Optimizer,
) -> None:
    state = {
        "made_of": made_of,
        "done": done,
        "means": means,
        "network": network.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    # Beside it first: who stops a training in the middle of this still has the last one.
    torch.save(state, checkpoint.with_suffix(".part"))
    checkpoint.with_suffix(".part").replace(checkpoint)


def _go_on(
    checkpoint: Path, made_of: str, network: CenterNet, average: CenterNet, optimizer: torch.optim.Optimizer
) -> tuple[int, tuple[float, float]]:
    """Steps done and the losses' averages, with everything as it was then; zeros where there is no such checkpoint."""
    if not checkpoint.exists():
        return 0, (0.0, 0.0)
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError):
        return 0, (0.0, 0.0)  # torn, or somebody else's
    if not isinstance(state, dict) or state.get("made_of") != made_of:
        return 0, (0.0, 0.0)
    network.load_state_dict(state["network"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    return state["done"], state["means"]
