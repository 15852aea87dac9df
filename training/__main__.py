"""`python -m training --data FOLDER`: train a detector of your own."""

from __future__ import annotations

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
from detectors.errors import DetectorError
from training.catalogue_entries import Description, refused
from training.command import add_options, count, learn, share
from training.data.batches import Batches, Source
from training.data.datasets import DatasetUnusable, Example, read
from training.evaluate.display import left_out, report_table
from training.evaluate.scores import score
from training.export import CATALOGUE, CHECKED_ON, export, folded, trained, unfolded, unmet
from training.model.layout import LABELS
from training.model.network import CenterNet
from training.model.train import Plan
from training.model.trial import as_inputs, found_by

BUNDLED = Path(__file__).resolve().parent.parent / "weights" / "cards.pt2"
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"

HELP = """Train a detector on your own labelled pictures, and write it with a catalogue entry that the workers load.

FOLDER has Pascal VOC annotations (an .xml beside each picture, or Annotations/ and JPEGImages/) or COCO ones (a .json
in it or in its annotations/). What can't be trusted in it is named and left out. The training starts from the bundled
model, so some hundred pictures are enough for a start. A fifth of them is kept aside to measure with."""

EXAMPLES = """examples:
  python -m training --data parts/                        a model called parts, in models/parts/
  python -m training --data parts/ --steps 300            a quick look, a few minutes
  python -m training --data parts/ --held-out 0           from all pictures, once you know that it is good
  BOXQUEUE_CATALOGUE=models/parts/catalogue.toml make up  serve it
  python -m training.evaluate --data others/ --model parts-pytorch --catalogue models/parts/catalogue.toml

Stop it whenever you like: the same command goes on from the last minute. The same seed gives the same weights on the
same machine. The bundled model is made by `python -m training.bundled`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line, trains, measures, exports. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description=HELP,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="labelled pictures")
    parser.add_argument("--name", help="what the model is called [the folder's name]")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the model goes [models/NAME]")
    parser.add_argument("--steps", type=count, default=3000, metavar="N", help="of 4 pictures each [3000]")
    parser.add_argument(
        "--held-out", type=share, default=0.2, metavar="SHARE", help="share of the pictures to measure with [0.2]"
    )
    parser.add_argument("--licence", default="", help="of the model, for the catalogue")
    add_options(parser)
    options = parser.parse_args(arguments)
    options.name = options.name or re.sub(r"[^A-Za-z0-9._-]+", "-", options.data.resolve().name).strip("-._").lower()
    if not re.fullmatch(NAME, options.name):
        parser.error(f"--name: {options.name!r} is no name; letters, digits, '.', '_' and '-', a letter or digit first")
    options.out = options.out or Path("models") / options.name
    console, errors = Console(), Console(stderr=True)
    try:
        _make(options, console)
    except (DatasetUnusable, DetectorError, OSError) as error:
        errors.print(Text(str(error), "red"), soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        errors.print("Stopped. The same command goes on from the last minute.")
        return 130
    return 0


def _make(options: argparse.Namespace, console: Console) -> None:
    if missing := unmet():
        raise DatasetUnusable(missing)
    with console.status(f"reading {options.data.name}"):
        dataset = read(options.data)
    examples, measured = _split(dataset.examples, options.held_out)
    described = Description(options.name, dataset.labels, f"Trained on {len(examples)} pictures.", options.licence)
    if problem := refused(described) or _in_the_way(options.out, described):
        raise DatasetUnusable(problem)
    options.out.mkdir(parents=True, exist_ok=True)
    left_out(console, dataset.skipped, options.out / "left-out.txt")
    seen = {box.label for example in examples for box in example.boxes}
    if not seen:
        raise DatasetUnusable(f"{options.data} has no box to learn from.")
    if unseen := [label for label in dataset.labels if label not in seen]:
        console.print(Text(f"there is no box to learn from for {', '.join(unseen)}", "yellow"), soft_wrap=True)
    say = f"{len(examples)} pictures to learn from, {len(measured)} to measure with: {', '.join(dataset.labels)}"
    console.print(Text(say), soft_wrap=True)
    torch.manual_seed(options.seed)
    checkpoint = options.out / f"{options.name}.checkpoint"
    network = folded(
        learn(
            start(examples, dataset.labels),
            [Source(examples, 1.0)],
            dataset.labels,
            Plan(options.steps, rate=1e-3, seed=options.seed),
            title="learning",
            options=options,
            checkpoint=checkpoint,
            console=console,
        )
    )
    if measured:
        with console.status("measuring"):
            report = score(measured, dataset.labels, found_by(network, measured, dataset.labels))
        console.print(report_table(f"{len(measured)} pictures that it has not seen", report))
    with console.status("writing and comparing the files of both frameworks"):
        written = export(network, options.out, described, as_inputs((measured or examples)[:CHECKED_ON]))
    for path in written:
        console.print(Text(f"written: {path}"), soft_wrap=True)
    checkpoint.unlink(missing_ok=True)
    console.print(Text(f"Serve it: BOXQUEUE_CATALOGUE={options.out / CATALOGUE} make up"), soft_wrap=True)


def _in_the_way(folder: Path, described: Description) -> str | None:
    """Whether there are other models in the folder, whose catalogue would be lost."""
    if not (folder / CATALOGUE).exists():
        return None
    others = Catalogue.load(folder / CATALOGUE).entries.keys() - set(described.entries())
    if not others:
        return None
    return f"{folder / CATALOGUE} lists other models ({', '.join(sorted(others))}): choose another --out."


def _split(examples: Sequence[Example], share: float) -> tuple[list[Example], list[Example]]:
    """(to learn from, to measure with); the same ones for every seed of the training."""
    shuffled = sorted(examples, key=lambda example: str(example.file))
    Random(0).shuffle(shuffled)
    count = min(len(shuffled) - 1, round(share * len(shuffled)))
    return shuffled[count:], shuffled[:count]


def start(examples: Sequence[Example], labels: Sequence[str]) -> CenterNet:
    """The bundled network with heads for these labels: for those that it knows its own, for others new ones."""
    bundled = trained(BUNDLED)
    views = Batches([Source(examples, 1.0)], labels, size=8, count=1, seed=0)[0]["image"]
    network = unfolded(bundled, views.permute(0, 3, 1, 2).float() / 127.5 - 1.0)
    heads = CenterNet(len(labels))
    with torch.no_grad():
        for number, label in enumerate(labels):
            if label in LABELS:
                old = LABELS.index(label)
                for name, rows in (("heat", 1), ("distances", 4)):
                    new_head, old_head = getattr(heads, name), getattr(network, name)
                    there, here = slice(rows * old, rows * (old + 1)), slice(rows * number, rows * (number + 1))
                    new_head.weight[here], new_head.bias[here] = old_head.weight[there], old_head.bias[there]
    network.heat, network.distances = heads.heat, heads.distances
    known = network.borders.kind.detach()
    kinds = [known[LABELS.index(label)] if label in LABELS else known.mean(dim=0) for label in labels]
    network.borders.kind = nn.Parameter(torch.stack(kinds))
    return network


if __name__ == "__main__":
    sys.exit(main())
