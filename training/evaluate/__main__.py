"""`python -m training.evaluate`: measure a model, or a whole running service, on labelled pictures."""

from training.command_line import new_parser

# isort: split
import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from detectors.catalogue import Catalogue
from detectors.errors import DetectorError
from training.data.datasets import Dataset, DatasetUnusable, read
from training.evaluate.display import print_skipped, progress_bar, report_table
from training.evaluate.results import Failure, Results, load, run_locally
from training.evaluate.scores import Report, Row, score
from training.evaluate.service import Service, ServiceUnusable

__all__ = ["Report", "Row", "main", "score"]

CATALOGUE = Path("weights/catalogue.toml")
MAX_LISTED = 10
"""Number of pictures with errors that are listed."""

HELP = """Measure how well a model finds what people labelled: average precision (AP) as COCO measures it, from 0 to 1.

AP50 and AP75 are measured at an overlap (IoU) of 0.5 and 0.75, AP is the mean over 0.5, 0.55 … 0.95. The range after
AP50 is the 95 % interval for other pictures of the same kind; with few pictures it is wide.

The folder has Pascal VOC annotations (an .xml beside each picture, or Annotations/ and JPEGImages/) or COCO ones (a
.json in it or in its annotations/). A label that no box in the folder has counts as not annotated."""

EXAMPLES = """examples:
  python -m training.evaluate --data cards/ --model cards-pytorch
                                         the model as a worker runs it, on one core
  python -m training.evaluate --data cards/ --model cards --url http://127.0.0.1:8000
                                         the same through a running service
  python -m training.evaluate --data cards/ --model mine --catalogue mine/catalogue.toml --json mine.json

The exit status is 1 if a picture failed, because that is not the same as a picture without boxes."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line, runs the model, prints the table. Returns the exit status."""
    parser = new_parser("training.evaluate", HELP, EXAMPLES)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="labelled pictures")
    parser.add_argument(
        "--model", required=True, metavar="NAME", help="name of the model in the catalogue or the service"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--catalogue", type=Path, default=CATALOGUE, metavar="FILE", help=f"catalogue of the model [{CATALOGUE}]"
    )
    where.add_argument("--url", metavar="URL", help="measure the service that runs there, like http://127.0.0.1:8000")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    parser.add_argument(
        "--per-picture",
        action="store_true",
        help=f"list the {MAX_LISTED} worst pictures, at IoU 0.5 and each class's best score",
    )
    options = parser.parse_args(arguments)
    if options.json and not options.json.parent.is_dir():
        parser.error(f"--json: there is no folder {options.json.parent}")
    terminal, notes = Console(), Console(stderr=True)
    try:
        dataset, results = _detect(options, notes)
    except (DatasetUnusable, DetectorError, ServiceUnusable) as error:
        notes.print(Text(str(error), "red"), soft_wrap=True)
        return 1
    if results.failed:
        _print_failures(notes, results.failed, len(dataset.examples))
        return 1
    report = score(dataset.examples, dataset.labels, results.found)
    title = f"{options.model} on {options.data}: {len(dataset.examples)} pictures"
    terminal.print(report_table(title, report))
    if results.milliseconds is not None:
        terminal.print(f"{results.milliseconds:.1f} ms a picture, decoding included, on one core")
    if options.per_picture:
        terminal.print(_worst(report, options.data))
    if options.json:
        options.json.write_text(json.dumps(_figures(options, dataset, results, report), indent=1) + "\n", "utf-8")
    return 0


def _detect(options: argparse.Namespace, notes: Console) -> tuple[Dataset, Results]:
    """Reads the labelled pictures and runs the model, or the service, on them."""
    if options.url:
        with Service(options.url) as service:
            dataset = _read(options.data, service.labels(options.model), notes)
            with progress_bar(notes, "pictures", len(dataset.examples)) as update:
                return dataset, service.detect(options.model, [one.file for one in dataset.examples], update)
    entry = Catalogue.load(options.catalogue).get(options.model)
    dataset = _read(options.data, entry.labels, notes)
    detector = load(entry)
    with progress_bar(notes, "pictures", len(dataset.examples)) as update:
        return dataset, run_locally(detector, [one.file for one in dataset.examples], update)


def _read(folder: Path, labels: Sequence[str], notes: Console) -> Dataset:
    dataset = read(folder, labels)
    print_skipped(notes, dataset.skipped)
    return dataset


def _print_failures(notes: Console, failed: Sequence[Failure], total: int) -> None:
    for one in failed:
        notes.print(Text(f"{one.file.name}: {one.code}: {one.message}", "red"), soft_wrap=True)
    notes.print(Text(f"{len(failed)} of {total} pictures failed, so nothing is measured.", "red"), soft_wrap=True)


def _worst(report: Report, folder: Path) -> Table:
    table = Table(title="The pictures with most errors", title_justify="left")
    table.add_column("picture")
    for name in ("boxes", "missed", "wrong"):
        table.add_column(name, justify="right")
    for one in report.pictures[:MAX_LISTED]:
        if one.missed or one.wrong:
            # Annotations may name pictures of other folders by absolute paths.
            shown = one.file.relative_to(folder) if one.file.is_relative_to(folder) else one.file
            table.add_row(Text(str(shown)), str(one.boxes), str(one.missed), str(one.wrong))
    return table


def _figures(options: argparse.Namespace, dataset: Dataset, results: Results, report: Report) -> dict[str, object]:
    return asdict(report) | {
        "pictures": [asdict(one) | {"file": str(one.file)} for one in report.pictures],
        "model": options.model,
        "url": options.url,
        "data": str(options.data),
        "milliseconds": results.milliseconds,
        "left_out": dataset.skipped,
    }


if __name__ == "__main__":
    sys.exit(main())
