"""The shared parts of the two commands that train: options, the training with its progress, and the exit status."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.text import Text

from detectors.errors import DetectorError
from training.data.batches import Source
from training.data.datasets import DatasetUnusable
from training.evaluate.display import progress_bar
from training.model.network import CenterNet
from training.model.train import Plan, cores, train


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds --seed, --threads and --device."""
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="another seed gives another model [1]")
    parser.add_argument("--threads", type=count, default=cores(), metavar="N", help="CPU threads [all cores]")
    parser.add_argument("--device", type=device, default=device("auto"), help="auto, cpu, cuda or cuda:N [auto]")


def count(text: str) -> int:
    """The type of an option that is a number from 1 on."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def device(name: str) -> str:
    """The type of the option --device. `auto` is a GPU if there is one. Raises `ArgumentTypeError`."""
    available = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if available else "cpu"
    if name != "cpu" and not (available and name.startswith("cuda")):
        raise argparse.ArgumentTypeError(f"this machine has no device {name}")
    return name


def exit_status(work: Callable[[Console], None]) -> int:
    """Runs a command and returns its exit status. Prints an error as one sentence."""
    errors = Console(stderr=True)
    try:
        work(Console())
    except (DatasetUnusable, DetectorError, OSError) as error:
        errors.print(Text(str(error), "red"), soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        errors.print(
            "Stopped. The same command resumes from the last checkpoint, at most a minute back.", soft_wrap=True
        )
        return 130
    return 0


def train_with_progress(
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
    """Calls `train` and shows its progress on the terminal. `options` has the options of `add_options`."""
    with progress_bar(console, title, plan.steps) as update:
        return train(
            network,
            sources,
            labels,
            plan,
            device=options.device,
            threads=options.threads,
            checkpoint=checkpoint,
            report=lambda done: update(done.step, f"heat {done.heat_loss:.2f}, boxes {done.box_loss:.3f}"),
        )
