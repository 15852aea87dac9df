"""`python -m training.bundled`: make the bundled model again, from nothing to the model card."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.text import Text

from detectors.errors import DetectorError
from training.catalogue_entries import Description
from training.command import add_options, count, learn
from training.data.batches import Source
from training.data.collection import draw_collection
from training.data.datasets import Dataset, DatasetUnusable, Example, read
from training.data.folds import folds
from training.evaluate.display import left_out, stage
from training.evaluate.scores import Found, Report, score
from training.export import CHECKED_ON, export, folded, unmet
from training.model.layout import LABELS
from training.model.network import CenterNet
from training.model.train import Plan
from training.model.trial import as_inputs, found_by, milliseconds
from training.model_card import Making, write_card

CARDS = 12_000
"""Generated cards to learn from: seeds 1 to 12,000."""
NEW_CARDS, FIRST_NEW = 500, 1 << 50
"""Cards to measure on, and the first of their seeds: no training draws these."""
FOLDS = 3
REAL_SHARE = 0.5
"""Of the pictures in the second half of the training; the others stay generated, so that nothing is forgotten."""

DESCRIBED = Description(
    "cards",
    LABELS,
    "Parts of a UI card: text boxes, radio buttons, check boxes, action sets, images, ratings.",
    "MIT",
)

HELP = """Make the bundled model, the detector of the parts of a UI card, from nothing: draw cards with known boxes,
learn from them, learn from real pictures too if there are any, measure, and write the files for both frameworks, the
catalogue and the model card."""

EXAMPLES = """examples:
  python -m training.bundled --real cards/            with a folder of labelled real cards (Pascal VOC or COCO)
  python -m training.bundled                          from generated cards alone
  python -m training.bundled --out /tmp/try --steps 300 --fine-steps 50     a first look; leaves weights/ alone

Labels that occur nowhere in the real pictures count as not looked for in them. How good the model is on real pictures
is measured by cross-validation: each third of them by a model that has seen the others only.

Stop it whenever you like: the same command goes on from the last minute. The same seed gives the same weights on the
same machine. With two CPU cores it takes forty minutes to two hours, with a GPU minutes."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line and makes the model. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.bundled",
        description=HELP,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--real", type=Path, metavar="FOLDER", help="labelled real pictures")
    parser.add_argument("--steps", type=count, default=15_000, metavar="N", help="of 4 generated cards each [15000]")
    parser.add_argument("--fine-steps", type=count, default=1100, metavar="N", help="with real pictures as well [1100]")
    add_options(parser)
    parser.add_argument("--work", type=Path, default=Path("data/training"), metavar="FOLDER", help="[data/training]")
    parser.add_argument("--out", type=Path, default=Path("weights"), metavar="FOLDER", help="where to [weights/]")
    options = parser.parse_args(arguments)
    console, errors = Console(), Console(stderr=True)
    try:
        if missing := unmet():
            raise DatasetUnusable(missing)
        real = read(options.real, LABELS) if options.real else None
        if real:
            left_out(console, real.skipped)
            console.print(Text(f"{len(real.examples)} real pictures from {options.real}"), soft_wrap=True)
        # The model card has the folder's name: where it lies is nobody else's business.
        given = arguments or sys.argv[1:]
        told = shlex.join(options.real.name if options.real and one == str(options.real) else one for one in given)
        _make(options, real, told, console)
    except (DatasetUnusable, DetectorError, OSError) as error:
        errors.print(Text(str(error), "red"), soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        errors.print("Stopped. The same command goes on from the last minute.")
        return 130
    return 0


def _make(options: argparse.Namespace, real: Dataset | None, told: str, console: Console) -> None:
    parts = _folds(real.examples) if real else []
    cards = _drawn(options.work / "cards", CARDS, 1, "drawing cards", console)
    new = _drawn(options.work / "new-cards", NEW_CARDS, FIRST_NEW, "drawing cards to measure on", console)
    torch.manual_seed(options.seed)
    # `Plan.rate`: found by trying; the second half only adapts what the first has learnt.
    first = Plan(options.steps, 1.5e-3, seed=options.seed)
    network = _trained(CenterNet(len(LABELS)), [Source(cards, 1.0)], first, "generated cards", options, console)
    validated: Report | None = None
    if real:
        before, second = network, Plan(options.fine_steps, 6e-4, seed=options.seed)

        def tuned(pictures: Sequence[Example], title: str) -> CenterNet:
            sources = [Source(pictures, REAL_SHARE), Source(cards, 1 - REAL_SHARE)]
            return _trained(before, sources, second, title, options, console)

        answers: list[tuple[Example, Found]] = []
        for number, part in enumerate(parts, start=1):
            others = [example for other in parts if other is not part for example in other]
            asked = tuned(others, f"cross-validation {number} of {FOLDS}")
            answers += zip(part, found_by(asked, part, LABELS), strict=True)
        validated = score([example for example, _ in answers], LABELS, [found for _, found in answers])
        network = tuned(real.examples, "real pictures")
    final = folded(network)
    with console.status("measuring"):
        generated = score(new, LABELS, found_by(final, new, LABELS))
    with console.status("writing and comparing the files of both frameworks"):
        paths = export(final, options.out, DESCRIBED, as_inputs(new[:CHECKED_ON]))
    making = Making(
        command=f"python -m training.bundled {told}".strip(),
        cards=len(cards),
        card_views=first.steps * first.batch,
        real=len(real.examples) if real else 0,
        real_views=options.fine_steps * first.batch,
        folds=FOLDS,
        validated=validated,
        new=len(new),
        generated=generated,
        parameters=sum(parameter.numel() for parameter in final.parameters()),
        milliseconds=milliseconds(final, new[:100]),
    )
    paths.append(write_card(options.out, making))
    for path in paths:
        console.print(Text(f"written: {path}"), soft_wrap=True)


def _folds(examples: Sequence[Example]) -> list[list[Example]]:
    try:
        return folds(examples, FOLDS, seed=0)
    except ValueError as error:
        raise DatasetUnusable(f"The real pictures are too few to cross-validate on: {error}") from error


def _drawn(folder: Path, count: int, first_seed: int, title: str, console: Console) -> list[Example]:
    with stage(console, title, count) as tell:
        return draw_collection(folder, count, first_seed, lambda done: tell(done, "")).examples


def _trained(
    network: CenterNet,
    sources: Sequence[Source],
    plan: Plan,
    title: str,
    options: argparse.Namespace,
    console: Console,
) -> CenterNet:
    return learn(
        network,
        sources,
        LABELS,
        plan,
        title=f"learning: {title}",
        options=options,
        checkpoint=options.work / f"{title.replace(' ', '-')}.pt",
        console=console,
    )


if __name__ == "__main__":
    sys.exit(main())
