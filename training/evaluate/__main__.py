"""`python -m training.evaluate`: measure a model, or a whole running service, on labelled pictures."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from detectors.catalogue import Catalogue
from detectors.errors import DetectorError
from training.data.datasets import Dataset, DatasetUnusable, read
from training.evaluate.answers import Answers, Failure, Show, answers_here, load
from training.evaluate.display import left_out, report_table
from training.evaluate.scores import Report, Row, score
from training.evaluate.service import Service, ServiceUnusable

__all__ = ["Report", "Row", "main", "score"]

CATALOGUE = Path("weights/catalogue.toml")
NAMED = 10
"""How many of the skipped, failed or worst pictures are named."""

HELP = """Measure how well a model finds what people labelled: average precision (AP) as COCO measures it, from 0 to 1.

AP50 and AP75 are those at an overlap (IoU) of 0.5 and 0.75, AP is the mean over 0.5, 0.55 … 0.95. The range behind
AP50 holds with 95 % for other pictures of the same kind; with few pictures it is wide.

The folder has Pascal VOC annotations (an .xml beside each picture, or Annotations/ and JPEGImages/) or COCO ones (a
.json in it or in its annotations/). A label that no box in the folder has counts as not looked for."""

EXAMPLES = """examples:
  python -m training.evaluate --data cards/ --model cards-pytorch
                                         the model as a worker runs it, on one core
  python -m training.evaluate --data cards/ --model cards --url http://127.0.0.1:8000
                                         the way of a picture through a running service
  python -m training.evaluate --data cards/ --model mine --catalogue mine/catalogue.toml --json mine.json

Exits with 1 where any picture has no answer: that is not the same as one in which nothing was found."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line, asks the model, prints the table. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate",
        description=HELP,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="labelled pictures")
    parser.add_argument("--model", required=True, metavar="NAME", help="its name in the catalogue or the service")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--catalogue", type=Path, default=CATALOGUE, metavar="FILE", help=f"[{CATALOGUE}]")
    where.add_argument("--url", metavar="URL", help="ask the service that runs there, like http://127.0.0.1:8000")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument(
        "--per-picture",
        action="store_true",
        help=f"name the {NAMED} worst pictures, at IoU 0.5 and each class's best score",
    )
    options = parser.parse_args(arguments)
    if options.json and not options.json.parent.is_dir():
        parser.error(f"--json: there is no folder {options.json.parent}")
    terminal, notes = Console(), Console(stderr=True)
    try:
        dataset, answers = _ask(options, notes)
    except (DatasetUnusable, DetectorError, ServiceUnusable) as error:
        notes.print(Text(str(error), "red"), soft_wrap=True)
        return 1
    if answers.failed:
        _print_failures(notes, answers.failed, len(dataset.examples))
        return 1
    report = score(dataset.examples, dataset.labels, answers.found)
    title = f"{options.model} on {options.data}: {len(dataset.examples)} pictures"
    terminal.print(report_table(title, report))
    if answers.milliseconds is not None:
        terminal.print(f"{answers.milliseconds:.1f} ms a picture, decoding included, on one core")
    if options.per_picture:
        terminal.print(_worst(report, options.data))
    if options.json:
        options.json.write_text(json.dumps(_figures(options, dataset, answers, report), indent=1) + "\n", "utf-8")
    return 0


def _ask(options: argparse.Namespace, notes: Console) -> tuple[Dataset, Answers]:
    """The labelled pictures, and what the model or the service says of them."""
    if options.url:
        with Service(options.url) as service:
            dataset = _read(options.data, service.labels(options.model), notes)
            with _progress(notes, len(dataset.examples)) as show:
                return dataset, service.answers(options.model, [one.file for one in dataset.examples], show)
    entry = Catalogue.load(options.catalogue).get(options.model)
    dataset = _read(options.data, entry.labels, notes)
    detector = load(entry)
    with _progress(notes, len(dataset.examples)) as show:
        return dataset, answers_here(detector, [one.file for one in dataset.examples], show)


def _read(folder: Path, labels: Sequence[str], notes: Console) -> Dataset:
    dataset = read(folder, labels)
    left_out(notes, dataset.skipped)
    return dataset


@contextmanager
def _progress(notes: Console, total: int) -> Iterator[Show]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=notes, transient=True) as progress:
        task = progress.add_task("pictures", total=total)
        yield lambda what, done: progress.update(task, description=what, completed=done)


def _print_failures(notes: Console, failed: Sequence[Failure], total: int) -> None:
    for one in failed:
        notes.print(Text(f"{one.file.name}: {one.code}: {one.message}", "red"), soft_wrap=True)
    notes.print(Text(f"{len(failed)} of {total} pictures failed, so nothing is measured.", "red"), soft_wrap=True)


def _worst(report: Report, folder: Path) -> Table:
    table = Table(title="Where most is wrong", title_justify="left")
    table.add_column("picture")
    for name in ("boxes", "missed", "wrong"):
        table.add_column(name, justify="right")
    for one in report.pictures[:NAMED]:
        if one.missed or one.wrong:
            # One that is named by a whole path may lie elsewhere.
            shown = one.file.relative_to(folder) if one.file.is_relative_to(folder) else one.file
            table.add_row(Text(str(shown)), str(one.boxes), str(one.missed), str(one.wrong))
    return table


def _figures(options: argparse.Namespace, dataset: Dataset, answers: Answers, report: Report) -> dict[str, object]:
    return asdict(report) | {
        "pictures": [asdict(one) | {"file": str(one.file)} for one in report.pictures],
        "model": options.model,
        "url": options.url,
        "data": str(options.data),
        "milliseconds": answers.milliseconds,
        "left_out": dataset.skipped,
    }


if __name__ == "__main__":
    sys.exit(main())
