"""What the commands that train have in common: options, and the training as a stage that is shown."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from training.data.batches import Source
from training.evaluate.display import stage
from training.model.network import CenterNet
from training.model.train import Plan, cores, train


def add_options(parser: argparse.ArgumentParser) -> None:
    """--seed, --threads and --device."""
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="another seed, another model [1]")
    parser.add_argument("--threads", type=count, default=cores(), metavar="N", help="CPU threads [all cores]")
    parser.add_argument("--device", type=device, default=device("auto"), help="auto, cpu, cuda or cuda:N [auto]")


def count(written: str) -> int:
    """A number from 1 on."""
    if (number := int(written)) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def share(written: str) -> float:
    """A part of a whole that leaves something of it."""
    number = float(written)
    if not 0 <= number <= 0.9:  # false for NaN too
        raise argparse.ArgumentTypeError("from 0 to 0.9")
    return number


def device(written: str) -> str:
    """A device that is here; for `auto` a GPU if there is one."""
    available = torch.cuda.is_available()
    if written == "auto":
        return "cuda" if available else "cpu"
    if written != "cpu" and not (available and written.startswith("cuda")):
        raise argparse.ArgumentTypeError(f"{written} is not here")
    return written


def learn(
    network: CenterNet,
    sources: Sequence[Source],
    labels: Sequence[str],
    plan: Plan,
    *,
    title: str,
    options: argparse.Namespace,
    checkpoint: Path,
    console: Console,
) -> CenterNet:
    """`train`, and its progress on the terminal. `options` has what `add_options` added."""
    with stage(console, title, plan.steps) as tell:
        return train(
            network,
            sources,
            labels,
            plan,
            device=options.device,
            threads=options.threads,
            checkpoint=checkpoint,
            report=lambda at: tell(at.step, f"heat {at.heat_loss:.2f}, boxes {at.box_loss:.3f}"),
        )
