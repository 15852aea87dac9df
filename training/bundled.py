"""`python -m training.bundled`: make the bundled model again, from generated cards to the model card."""

from training.command_line import new_parser

# isort: split
import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.text import Text

from training.catalogue_entries import Description
from training.data.batches import Source
from training.data.collection import draw_collection
from training.data.datasets import DatasetUnusable, Example, read
from training.data.folds import folds
from training.evaluate.display import print_skipped, stage
from training.evaluate.scores import Found, Report, score
from training.export import CHECKED_ON, export, folded
from training.learning import add_options, count, exit_status, learn
from training.model.layout import LABELS
from training.model.network import CenterNet
from training.model.train import Plan
from training.model.trial import as_inputs, found_by, milliseconds
from training.model_card import Making, write_card

CARDS = 12_000
"""How many generated cards to learn from; their seeds are 1 to 12,000."""
NEW_CARDS, FIRST_NEW = 500, 1 << 50
"""How many cards to measure on, and the first of their seeds. No training draws cards with these seeds."""
FOLDS = 3
REAL_SHARE = 0.5
"""Share of real pictures in the second stage of the training. The others are generated, so that the model does not
forget what it has learnt from them."""

DESCRIBED = Description(
    "cards",
    LABELS,
    "Parts of a UI card: text boxes, radio buttons, check boxes, action sets, images, ratings.",
    "MIT",
)

HELP = """Make the bundled model again, the detector of the parts of a UI card: draw cards with known boxes, learn from
them and, if there are any, from real pictures, measure, and write the files for both frameworks, the catalogue and the
model card."""

EXAMPLES = """examples:
  python -m training.bundled --real cards/            with a folder of labelled real cards (Pascal VOC or COCO)
  python -m training.bundled                          from generated cards alone
  python -m training.bundled --out /tmp/try --steps 300 --fine-steps 50     a first try; weights/ is not changed

A label that occurs in none of the real pictures counts as not annotated in them. How good the model is on real pictures
is measured by cross-validation: a model that was trained on two thirds of them is measured on the other third.

You can stop it at any time: the same command resumes from the last checkpoint, at most a minute back. The same seed
gives the same weights on the same machine. It takes forty minutes to two hours on two CPU cores, minutes on a GPU."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line and makes the model. Returns the exit status."""
    parser = new_parser("training.bundled", HELP, EXAMPLES)
    parser.add_argument("--real", type=Path, metavar="FOLDER", help="labelled real pictures")
    parser.add_argument(
        "--steps", type=count, default=15_000, metavar="N", help="training steps, 4 generated cards each [15000]"
    )
    parser.add_argument(
        "--fine-steps", type=count, default=1100, metavar="N", help="further steps, with real pictures as well [1100]"
    )
    add_options(parser)
    parser.add_argument(
        "--work", type=Path, default=Path("data/training"), metavar="FOLDER", help="cards, checkpoints [data/training]"
    )
    parser.add_argument("--out", type=Path, default=Path("weights"), metavar="FOLDER", help="the model [weights/]")
    options = parser.parse_args(arguments)
    # The model card names the folder only, because its path is of no use to others.
    shown = (
        options.real.name if options.real and one == str(options.real) else one for one in arguments or sys.argv[1:]
    )
    return exit_status(lambda console: _make(options, shlex.join(shown), console))


def _make(options: argparse.Namespace, arguments: str, console: Console) -> None:
    real = read(options.real, LABELS) if options.real else None
    if real:
        print_skipped(console, real.skipped)
        console.print(Text(f"{len(real.examples)} real pictures from {options.real}"), soft_wrap=True)
    parts = _folds(real.examples) if real else []  # before the long work, because there may be too few pictures
    cards = _drawn(options.work / "cards", CARDS, 1, "drawing cards", console)
    new = _drawn(options.work / "new-cards", NEW_CARDS, FIRST_NEW, "drawing cards to measure on", console)
    torch.manual_seed(options.seed)
    # The learning rates were found by trying. The second stage only adapts what the first has learnt.
    first = Plan(options.steps, 1.5e-3, seed=options.seed)
    network = _trained(CenterNet(len(LABELS)), [Source(cards, 1.0)], first, "generated cards", options, console)
    validated: Report | None = None
    if real:
        first_stage, second = network, Plan(options.fine_steps, 6e-4, seed=options.seed)

        def tuned(pictures: Sequence[Example], title: str) -> CenterNet:
            sources = [Source(pictures, REAL_SHARE), Source(cards, 1 - REAL_SHARE)]
            return _trained(first_stage, sources, second, title, options, console)

        validated = _cross_validated(parts, tuned)
        network = tuned(real.examples, "real pictures")
    final = folded(network)
    with console.status("measuring"):
        generated = score(new, LABELS, found_by(final, new, LABELS))
    with console.status("writing and comparing the files of both frameworks"):
        paths = export(final, options.out, DESCRIBED, as_inputs(card.file for card in new[:CHECKED_ON]))
    making = Making(
        command=f"python -m training.bundled {arguments}".strip(),
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


def _cross_validated(
    parts: Sequence[Sequence[Example]], tuned: Callable[[Sequence[Example], str], CenterNet]
) -> Report:
    """Measures on each part a network that `tuned` has trained on the others."""
    examples: list[Example] = []
    found: list[Found] = []
    for number, part in enumerate(parts, start=1):
        others = [example for other in parts if other is not part for example in other]
        examples += part
        found += found_by(tuned(others, f"cross-validation {number} of {FOLDS}"), part, LABELS)
    return score(examples, LABELS, found)


def _folds(examples: Sequence[Example]) -> list[list[Example]]:
    try:
        return folds(examples, FOLDS, seed=0)
    except ValueError as error:
        raise DatasetUnusable(f"There are too few real pictures to cross-validate on: {error}") from error


def _drawn(folder: Path, count: int, first_seed: int, title: str, console: Console) -> list[Example]:
    with stage(console, title, count) as update:
        return draw_collection(folder, count, first_seed, lambda done: update(done, "")).examples


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
