"""`python -m training --data FOLDER`: train a detector of your own."""

from training.command_line import new_parser

# isort: split
import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

import torch
from rich.console import Console
from rich.text import Text
from torch import nn

from detectors.catalogue import Catalogue
from training.catalogue_entries import Description, catalogue_error
from training.data.batches import Batches, Source
from training.data.datasets import DatasetUnusable, Example, read
from training.evaluate.display import print_skipped, report_table
from training.evaluate.scores import score
from training.export import CATALOGUE, COMPARED_PICTURES, export, fold_batch_norm, load_network, unfold_batch_norm
from training.model.inference import load_inputs, predict
from training.model.layout import LABELS
from training.model.network import CenterNet
from training.model.train import Plan
from training.train_command import add_options, count, exit_status, train_with_progress

BUNDLED = Path(__file__).resolve().parent.parent / "weights" / "cards.pt2"
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"

HELP = """Train a detector on your own labelled pictures, and write it with a catalogue entry that the workers load.

FOLDER has Pascal VOC annotations (an .xml beside each picture, or Annotations/ and JPEGImages/) or COCO ones (a .json
in it or in its annotations/). What is not usable in it is listed and left out. The training starts from the bundled
model, so some hundred pictures are enough to begin with. A fifth of them is held out to measure the model."""

EXAMPLES = """examples:
  python -m training --data parts/                        a model called parts, in models/parts/
  python -m training --data parts/ --steps 300            a first try, a few minutes
  python -m training --data parts/ --held-out 0           train on all pictures, after you have measured the model
  BOXQUEUE_CATALOGUE=models/parts/catalogue.toml make up  serve it
  python -m training.evaluate --data others/ --model parts-pytorch --catalogue models/parts/catalogue.toml

You can stop it at any time: the same command resumes from the last checkpoint, at most a minute back. The same seed
gives the same weights on the same machine. The bundled model is made by `python -m training.bundled`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line, trains, measures, exports. Returns the exit status."""
    parser = new_parser("training", HELP, EXAMPLES)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="labelled pictures")
    parser.add_argument("--name", help="name of the model [the folder's name]")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the model is written [models/NAME]")
    parser.add_argument("--steps", type=count, default=3000, metavar="N", help="training steps, 4 pictures each [3000]")
    parser.add_argument(
        "--held-out", type=_fraction, default=0.2, metavar="SHARE", help="share of the pictures to measure with [0.2]"
    )
    parser.add_argument("--licence", default="", help="licence of the model, for the catalogue")
    add_options(parser)
    options = parser.parse_args(arguments)
    options.name = options.name or re.sub(r"[^A-Za-z0-9._-]+", "-", options.data.resolve().name).strip("-._").lower()
    if not re.fullmatch(NAME, options.name):
        parser.error(
            f"--name: {options.name!r} is not a valid name: use letters, digits, '.', '_' and '-', starting with a "
            "letter or digit"
        )
    options.out = options.out or Path("models") / options.name
    return exit_status(lambda console: _train_and_export(options, console))


def _fraction(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 0.9:  # also false for NaN
        raise argparse.ArgumentTypeError("from 0 to 0.9")
    return number


def _train_and_export(options: argparse.Namespace, console: Console) -> None:
    with console.status(f"reading {options.data.name}"):
        dataset = read(options.data)
    examples, held_out = _split(dataset.examples, options.held_out)
    described = Description(options.name, dataset.labels, f"Trained on {len(examples)} pictures.", options.licence)
    if problem := catalogue_error(described) or _other_models(options.out, described):
        raise DatasetUnusable(problem)
    options.out.mkdir(parents=True, exist_ok=True)
    print_skipped(console, dataset.skipped, options.out / "left-out.txt")
    present = {box.label for example in examples for box in example.boxes}
    if not present:
        raise DatasetUnusable(f"{options.data} has no box to learn from.")
    if absent := [label for label in dataset.labels if label not in present]:
        console.print(Text(f"there is no box to learn from for {', '.join(absent)}", "yellow"), soft_wrap=True)
    summary = f"{len(examples)} pictures to learn from, {len(held_out)} to measure with: {', '.join(dataset.labels)}"
    console.print(Text(summary), soft_wrap=True)
    torch.manual_seed(options.seed)
    checkpoint = options.out / f"{options.name}.checkpoint"
    network = fold_batch_norm(
        train_with_progress(
            initial_network(examples, dataset.labels),
            [Source(examples, 1.0)],
            dataset.labels,
            Plan(options.steps, rate=1e-3, seed=options.seed),
            title="learning",
            options=options,
            checkpoint=checkpoint,
            console=console,
        )
    )
    if held_out:
        with console.status("measuring"):
            report = score(held_out, dataset.labels, predict(network, held_out, dataset.labels))
        console.print(report_table(f"{len(held_out)} held-out pictures", report))
    with console.status("writing and comparing the files of all frameworks"):
        compared = load_inputs(example.file for example in (held_out or examples)[:COMPARED_PICTURES])
        paths = export(network, options.out, described, compared)
    for path in paths:
        console.print(Text(f"written: {path}"), soft_wrap=True)
    checkpoint.unlink(missing_ok=True)
    console.print(Text(f"Serve it: BOXQUEUE_CATALOGUE={options.out / CATALOGUE} make up"), soft_wrap=True)


def _other_models(folder: Path, described: Description) -> str | None:
    """An error message if the folder's catalogue lists other models. Writing it again would remove their entries."""
    if not (folder / CATALOGUE).exists():
        return None
    others = Catalogue.load(folder / CATALOGUE).entries.keys() - set(described.entries())
    if not others:
        return None
    return f"{folder / CATALOGUE} lists other models ({', '.join(sorted(others))}): choose another --out."


def _split(examples: Sequence[Example], share: float) -> tuple[list[Example], list[Example]]:
    """Splits into pictures to train on, at least one, and held-out pictures. The split does not depend on --seed."""
    shuffled = sorted(examples, key=lambda example: str(example.file))
    Random(0).shuffle(shuffled)
    held_out = min(len(shuffled) - 1, round(share * len(shuffled)))
    return shuffled[held_out:], shuffled[:held_out]


def initial_network(examples: Sequence[Example], labels: Sequence[str]) -> CenterNet:
    """The bundled network with heads for these labels. A label of the bundled model keeps its weights; a new label gets
    new weights."""
    views = Batches([Source(examples, 1.0)], labels, size=8, count=1, seed=0)[0]["image"]
    network = unfold_batch_norm(load_network(BUNDLED), views.permute(0, 3, 1, 2).float() / 127.5 - 1.0)
    heads = CenterNet(len(labels))
    with torch.no_grad():
        for number, label in enumerate(labels):
            if label in LABELS:
                old = LABELS.index(label)
                for name, channels in (("heat", 1), ("distances", 4)):
                    new_head, old_head = getattr(heads, name), getattr(network, name)
                    source = slice(channels * old, channels * (old + 1))
                    target = slice(channels * number, channels * (number + 1))
                    new_head.weight[target], new_head.bias[target] = old_head.weight[source], old_head.bias[source]
    network.heat, network.distances = heads.heat, heads.distances
    old_biases = network.borders.kind.detach()
    biases = [old_biases[LABELS.index(label)] if label in LABELS else old_biases.mean(dim=0) for label in labels]
    network.borders.kind = nn.Parameter(torch.stack(biases))
    return network


if __name__ == "__main__":
    sys.exit(main())
