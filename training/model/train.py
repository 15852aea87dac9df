"""The training loop, with a running average of the weights and a checkpoint from which a stopped training resumes."""

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
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

import training
from training.data.batches import Batch, Batches, Source
from training.data.datasets import Example
from training.model.losses import losses
from training.model.network import CenterNet

WEIGHT_DECAY = 1e-4
BOX_LOSS_WEIGHT = 2.0
"""Weight of the losses of the boxes. The losses of the heatmaps and of the classes have the weight 1."""
MAX_GRADIENT_NORM = 10.0
WARM_UP = 0.04
"""Share of the steps in which the learning rate rises."""
AVERAGE_DECAY = 0.998
"""Share of the running average that stays in each step. It is smaller at first, while the weights change fast."""
CHECKPOINT_SECONDS = 60.0
FINGERPRINTED = (
    "boxes",
    "data/batches",
    "data/targets",
    "data/views",
    "model/border_refinement",
    "model/layout",
    "model/losses",
    "model/network",
    "model/train",
)
"""Modules of this package. After a change in one of them a stopped training starts again instead of resuming."""
MAX_LOADER_PROCESSES = 8
"""Processes that make batches for a GPU. Each has a cache of pictures, so more of them need more memory."""


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train. The same plan and pictures give the same weights on the same machine."""

    steps: int
    rate: float
    """The highest learning rate of AdamW."""
    batch: int = 4
    """Pictures per step. For the same number of views, many small steps give a better model than few large ones."""
    seed: int = 1


@dataclass(frozen=True)
class Progress:
    """Progress of the training: number of finished steps, and exponential moving averages of two losses."""

    step: int
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
    """Trains a copy of the network. Returns the running average of its weights, on the CPU, in evaluation mode.

    Resumes from the checkpoint if that was made from the same weights, plan, labels and pictures. `report` is called
    after each step.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(plan.seed)
    torch.backends.cudnn.deterministic = True
    network = copy.deepcopy(network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    fingerprint = _fingerprint(network, sources, labels, plan)
    run = _Run(network, plan)
    run.resume(checkpoint, fingerprint)
    batches = Batches(sources, labels, size=plan.batch, count=plan.steps, seed=plan.seed)
    # On a CPU, a step takes much longer than making its batch. A GPU needs several processes to keep it busy.
    loaders = 1 if device == "cpu" else max(1, min(MAX_LOADER_PROCESSES, cores() - 1))
    saved = time.monotonic()
    for batch in DataLoader(batches, batch_size=None, sampler=range(run.done, plan.steps), num_workers=loaders):
        run.step({name: tensor.to(device) for name, tensor in batch.items()})
        if run.done == plan.steps or time.monotonic() - saved > CHECKPOINT_SECONDS:
            run.save(checkpoint, fingerprint)
            saved = time.monotonic()
        report(Progress(run.done, *run.mean_losses))
    return cast(CenterNet, run.average.module.to("cpu").eval())


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


class _Run:
    """The state of a training: everything that changes in it and is written to a checkpoint."""

    def __init__(self, network: CenterNet, plan: Plan) -> None:
        self.network = network
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=plan.rate, weight_decay=WEIGHT_DECAY)
        self.schedule = LambdaLR(self.optimizer, lambda step: _rate_factor(step / plan.steps))
        self.average = AveragedModel(network, multi_avg_fn=_update_average, use_buffers=True)
        self.average.update_parameters(network)  # The first update copies: the average starts at these weights.
        self._parts: dict[str, nn.Module | torch.optim.Optimizer | LambdaLR] = {
            "network": network,
            "average": self.average,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
        }
        self.done = 0
        self.mean_losses = (0.0, 0.0)

    def step(self, batch: Batch) -> None:
        """Updates the weights and their average by one batch."""
        heat_loss, class_loss, rough_loss, box_loss = losses(self.network, batch)
        self.optimizer.zero_grad()
        (heat_loss + class_loss + BOX_LOSS_WEIGHT * (rough_loss + box_loss)).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), MAX_GRADIENT_NORM)
        self.optimizer.step()
        self.schedule.step()
        self.average.update_parameters(self.network)
        heat, box = heat_loss.item(), box_loss.item()
        before = self.mean_losses if self.done else (heat, box)
        self.mean_losses = 0.98 * before[0] + 0.02 * heat, 0.98 * before[1] + 0.02 * box
        self.done += 1

    def save(self, checkpoint: Path, fingerprint: str) -> None:
        """Writes a checkpoint."""
        state: dict[str, Any] = {name: part.state_dict() for name, part in self._parts.items()}
        state |= {"fingerprint": fingerprint, "done": self.done, "mean_losses": self.mean_losses}
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        # The file first has another name: if the process is stopped while it writes, the last checkpoint stays.
        torch.save(state, checkpoint.with_suffix(".part"))
        checkpoint.with_suffix(".part").replace(checkpoint)

    def resume(self, checkpoint: Path, fingerprint: str) -> None:
        """Loads the state of the checkpoint if it has this fingerprint. Otherwise the training starts at step 0."""
        if not checkpoint.exists():
            return
        try:
            state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, pickle.UnpicklingError):
            return  # a damaged file, or one of another program
        if not isinstance(state, dict) or state.get("fingerprint") != fingerprint:
            return
        for name, part in self._parts.items():
            part.load_state_dict(state[name])
        self.done, self.mean_losses = state["done"], state["mean_losses"]


def _rate_factor(done: float) -> float:
    """The learning rate as a share of the highest, when a share of the steps is done. It rises linearly during WARM_UP
    and then falls along half a cosine.

    `LinearLR` with `CosineAnnealingLR` gives other values unless the warm-up ends at a whole step.
    """
    if done < WARM_UP:
        return (done + 1e-3) / WARM_UP
    return 0.5 + 0.5 * math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))


def _update_average(average: Any, weights: Any, updates: Tensor | int) -> None:
    """PyTorch's exponential moving average, with a decay that rises to AVERAGE_DECAY over the updates."""
    decay = min(AVERAGE_DECAY, int(updates) / (int(updates) + 10))
    get_ema_multi_avg_fn(decay)(average, weights, updates)  # type: ignore[no-untyped-call]


def _fingerprint(network: CenterNet, sources: Sequence[Source], labels: Sequence[str], plan: Plan) -> str:
    """SHA-256 of everything on which the trained weights depend."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    for module in FINGERPRINTED:
        digest.update((Path(training.__file__).parent / f"{module}.py").read_bytes())
    pictures = [(source.share, [_fingerprint_data(example) for example in source.examples]) for source in sources]
    digest.update(json.dumps([torch.__version__, asdict(plan), list(labels), pictures]).encode())
    return digest.hexdigest()


def _fingerprint_data(example: Example) -> list[Any]:
    boxes, unclear = ([asdict(box) for box in some] for some in (example.boxes, example.unclear))
    size = example.file.stat().st_size
    return [str(example.file), size, example.width, example.height, sorted(example.known), boxes, unclear]
