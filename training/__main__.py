"""`python -m training`: make the bundled model."""

from __future__ import annotations

import argparse
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from training.cards import draw_card
from training.data import Example, read_voc, split
from training.evaluate import Quality, assess
from training.export import export, folded
from training.model import CardDetector
from training.train import Progress, train

GENERATED_HELD_OUT = 60
NEVER_TRAINED_ON = 1 << 50
"""Training draws cards with seeds below 2**40, so those from here on are new to the model."""

HELP = """Train the detector of the parts of a UI card and write it where the workers find it.

The pictures are drawn while the training runs: cards with text boxes, radio buttons, check boxes, action sets,
images and ratings, whose boxes are known exactly. Give a folder of real pictures with Pascal VOC annotations
(one .xml beside each picture) to mix them in; labels that occur nowhere in it count as not looked for, and
some of its pictures are held out to measure the result on."""

EXAMPLES = """examples:
  python -m training --minutes 1 --out /tmp/try     a first look; leaves weights/ alone
  python -m training                                the model from generated cards alone
  python -m training --voc cards/                   with real pictures from that folder

--out gets the model for PyTorch (cards.pt2) and for TensorFlow (cards.saved_model/, cards.pb), and their digests go
into the catalogue.toml there, if there is one. `python -m training.export` writes them again from cards.pt2 alone."""


def say(text: str = "", end: str = "\n") -> None:
    """To the terminal, at once."""
    sys.stdout.write(text + end)
    sys.stdout.flush()


def main() -> int:
    """Parse the command line, train, measure, export."""
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description=HELP,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--voc", type=Path, metavar="FOLDER", help="real pictures with Pascal VOC annotations")
    parser.add_argument("--held-out", type=int, default=20, metavar="N", help="of these, how many to measure on [20]")
    parser.add_argument("--share", type=float, default=0.3, help="share of real pictures in the training, 0..1 [0.3]")
    parser.add_argument("--minutes", type=float, default=13.0, metavar="N", help="how long to train [13]")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="CPU threads [2]")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="another seed, another model [1]")
    parser.add_argument("--out", type=Path, default=Path("weights"), metavar="FOLDER", help="where to [weights/]")
    options = parser.parse_args()

    if find_spec("tensorflow") is None:
        sys.exit("TensorFlow is missing, and the model is written for it as well: install requirements/tensorflow.txt")
    training, held_out = _real_pictures(options.voc, options.held_out)
    network = train(
        training,
        minutes=options.minutes,
        seed=options.seed,
        share=options.share,
        threads=options.threads,
        report=Display(),
    )
    say()
    detector = CardDetector(network)
    drawn = [draw_card(NEVER_TRAINED_ON + number) for number in range(GENERATED_HELD_OUT)]
    _print_table("new generated cards", assess(detector, [Example("", card.image, card.boxes) for card in drawn]))
    if held_out:
        _print_table(f"the {len(held_out)} real pictures held out", assess(detector, held_out))
    for path in export(folded(network), options.out):
        say(f"written: {path}")
    return 0


def _real_pictures(folder: Path | None, held_out: int) -> tuple[list[Example], list[Example]]:
    """(for training, held out); the split is the same for every seed of the training."""
    if folder is None:
        return [], []
    if not folder.is_dir():
        sys.exit(f"--voc: there is no folder {folder}")
    examples, skipped = read_voc(folder)
    for line in skipped:
        say(f"skipped: {line}")
    if len(examples) <= held_out:
        sys.exit(f"--voc: {folder} has {len(examples)} usable pictures, and {held_out} are to be held out")
    say(f"{len(examples)} real pictures from {folder}, {held_out} of them held out")
    return split(examples, held_out, seed=0)


class Display:
    """One line that keeps up with the training; where nobody watches, a line every half minute."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, at: Progress) -> None:
        """Show it, if it is time to."""
        live = sys.stdout.isatty()
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (0.5 if live else 30.0)
        share = min(1.0, at.seconds / at.total_seconds)
        bar = ("#" * round(30 * share)).ljust(30, ".")
        left = max(0.0, at.total_seconds - at.seconds)
        line = (
            f"[{bar}] {share:4.0%}  {left / 60:4.1f} min left  {at.pictures:6d} pictures"
            f" ({at.pictures / max(at.seconds, 1e-9):.0f}/s)  heat {at.heat_loss:.3f}  box {at.box_loss:.3f}"
        )
        say(f"\r{line}" if live else line, end="" if live else "\n")


def _print_table(title: str, qualities: list[Quality]) -> None:
    say(f"{title} (IoU 0.5; recall and precision at score 0.3)")
    for q in qualities:
        say(f"  {q.label:12} {q.boxes:5d} boxes  recall {q.recall:.3f}  precision {q.precision:.3f}  AP {q.ap50:.3f}")


if __name__ == "__main__":
    sys.exit(main())
