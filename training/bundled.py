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
from training.evaluate.display import print_skipped, progress_bar
from training.evaluate.scores import Predictions, Report, score
from training.export import COMPARED_PICTURES, export, fold_batch_norm
from training.model.inference import load_inputs, median_milliseconds, predict
from training.model.layout import LABELS
from training.model.network import CenterNet
from training.model.train import Plan
from training.model_card import ModelCardData, write_model_card
from training.train_command import add_options, count, exit_status, train_with_progress

TRAINING_CARDS = 12_000
"""Number of generated cards to train on; their seeds are 1 to 12,000."""
TEST_CARDS, FIRST_TEST = 500, 1 << 50
"""Number of generated cards to measure on, and the first of their seeds. No training draws cards with these seeds."""
FOLDS = 3
REAL_SHARE = 0.5
"""Share of real pictures in the second stage of the training. The other pictures are generated cards, so that the model
does not forget what it has learnt from them."""

DESCRIPTION = Description(
    "cards",
    LABELS,
    "Parts of a UI card: text boxes, radio buttons, check boxes, action sets, images, ratings.",
    "MIT",
)

HELP = """Make the bundled model again, the detector of the parts of a UI card: draw cards with known boxes, learn from
them and, if there are any, from real pictures, measure, and write the files for all frameworks, the catalogue and the
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
    words = arguments or sys.argv[1:]
    shown = (options.real.name if options.real and word == str(options.real) else word for word in words)
    return exit_status(lambda console: _make_model(options, shlex.join(shown), console))


def _make_model(options: argparse.Namespace, arguments: str, console: Console) -> None:
    real = read(options.real, LABELS) if options.real else None
    if real:
        print_skipped(console, real.skipped)
        console.print(Text(f"{len(real.examples)} real pictures from {options.real}"), soft_wrap=True)
    parts = _folds(real.examples) if real else []  # This fails early, before the long work, if there are too few.
    cards = _draw_cards(options.work / "cards", TRAINING_CARDS, 1, "drawing cards", console)
    test_cards = _draw_cards(options.work / "new-cards", TEST_CARDS, FIRST_TEST, "drawing cards to measure on", console)
    torch.manual_seed(options.seed)
    # The learning rates were found by experiment. The second stage only adapts what the first stage has learnt.
    first = Plan(options.steps, 1.5e-3, seed=options.seed)
    network = _train(CenterNet(len(LABELS)), [Source(cards, 1.0)], first, "generated cards", options, console)
    cross_validation: Report | None = None
    if real:
        first_stage, second = network, Plan(options.fine_steps, 6e-4, seed=options.seed)

        def fine_tune(pictures: Sequence[Example], title: str) -> CenterNet:
            sources = [Source(pictures, REAL_SHARE), Source(cards, 1 - REAL_SHARE)]
            return _train(first_stage, sources, second, title, options, console)

        cross_validation = _cross_validate(parts, fine_tune)
        network = fine_tune(real.examples, "real pictures")
    final = fold_batch_norm(network)
    with console.status("measuring"):
        test_report = score(test_cards, LABELS, predict(final, test_cards, LABELS))
    with console.status("writing and comparing the files of all frameworks"):
        paths = export(final, options.out, DESCRIPTION, load_inputs(c.file for c in test_cards[:COMPARED_PICTURES]))
    data = ModelCardData(
        command=f"python -m training.bundled {arguments}".strip(),
        cards=len(cards),
        first_stage_views=first.steps * first.batch,
        real_pictures=len(real.examples) if real else 0,
        second_stage_views=options.fine_steps * first.batch,
        folds=FOLDS,
        cross_validation=cross_validation,
        test_cards=len(test_cards),
        test_report=test_report,
        parameters=sum(parameter.numel() for parameter in final.parameters()),
        milliseconds=median_milliseconds(final, test_cards[:100]),
    )
    paths.append(write_model_card(options.out, data))
    for path in paths:
        console.print(Text(f"written: {path}"), soft_wrap=True)


def _cross_validate(
    parts: Sequence[Sequence[Example]], fine_tune: Callable[[Sequence[Example], str], CenterNet]
) -> Report:
    """For each part, fine-tunes a network on the other parts and measures it on this part."""
    examples: list[Example] = []
    predictions: list[Predictions] = []
    for number, part in enumerate(parts, start=1):
        others = [example for other in parts if other is not part for example in other]
        examples += part
        predictions += predict(fine_tune(others, f"cross-validation {number} of {FOLDS}"), part, LABELS)
    return score(examples, LABELS, predictions)


def _folds(examples: Sequence[Example]) -> list[list[Example]]:
    try:
        return folds(examples, FOLDS, seed=0)
    except ValueError as error:
        raise DatasetUnusable(f"There are too few real pictures to cross-validate on: {error}") from error


def _draw_cards(folder: Path, count: int, first_seed: int, title: str, console: Console) -> list[Example]:
    with progress_bar(console, title, count) as update:
        return draw_collection(folder, count, first_seed, lambda done: update(done, "")).examples


def _train(
    network: CenterNet,
    sources: Sequence[Source],
    plan: Plan,
    title: str,
    options: argparse.Namespace,
    console: Console,
) -> CenterNet:
    return train_with_progress(
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
