"""What the two commands that train share: options, the training with its progress, and how a command ends."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.text import Text

from detectors.errors import DetectorError
from training.data.batches import Source
from training.data.datasets import DatasetUnusable
from training.evaluate.display import stage
from training.model.network import CenterNet
from training.model.train import Plan, cores, train


def add_options(parser: argparse.ArgumentParser) -> None:
    """--seed, --threads and --device."""
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="another seed gives another model [1]")
    parser.add_argument("--threads", type=count, default=cores(), metavar="N", help="CPU threads [all cores]")
    parser.add_argument("--device", type=device, default=device("auto"), help="auto, cpu, cuda or cuda:N [auto]")


def count(written: str) -> int:
    """A number from 1 on."""
    if (number := int(written)) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def device(written: str) -> str:
    """A device of this machine. `auto` is a GPU if there is one."""
    available = torch.cuda.is_available()
    if written == "auto":
        return "cuda" if available else "cpu"
    if written != "cpu" and not (available and written.startswith("cuda")):
        raise argparse.ArgumentTypeError(f"this machine has no device {written}")
    return written


def exit_status(work: Callable[[Console], None]) -> int:
    """Runs a command. Prints an error as one sentence, and returns the exit status."""
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
    """`train`, with its progress on the terminal. `options` has what `add_options` adds."""
    with stage(console, title, plan.steps) as update:
        return train(
            network,
            sources,
            labels,
            plan,
            device=options.device,
            threads=options.threads,
            checkpoint=checkpoint,
            report=lambda at: update(at.step, f"heat {at.heat_loss:.2f}, boxes {at.box_loss:.3f}"),
        )
