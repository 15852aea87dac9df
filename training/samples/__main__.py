"""`python -m training.samples`: draw the pictures in samples/ again. The same seed and fonts give the same pictures."""

from training.command_line import new_parser

# isort: split
from dataclasses import replace
from pathlib import Path
from random import Random

from training.cards.generator import compose
from training.cards.rendering.damage import Card
from training.cards.rendering.sheet import Sheet
from training.cards.style import choose_style
from training.samples.cards import SAMPLES, Sample


def draw(sample: Sample, seed: int) -> tuple[Random, Card]:
    """Draws the card of a sample. Returns it with the random number generator that its saving needs."""
    rng = Random(f"{seed} {sample.file}")
    style = replace(choose_style(rng, sample.theme), em=sample.em, spacing=1.0)

    def content(sheet: Sheet, x: float, y: float, width: float) -> float:
        for part in SAMPLES[sample]:
            y = part(sheet, x, y, width) + sheet.gap * 0.4
        return y

    return rng, compose(rng, style, round(sample.em * sample.ems), content)


def main() -> None:
    """Parses the command line, draws and saves the pictures."""
    parser = new_parser("training.samples", "Draw the pictures in samples/ again.")
    parser.add_argument(
        "--seed", type=int, default=7, metavar="S", help="another seed gives other colours, fonts and photos [7]"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("samples"), metavar="FOLDER", help="where the pictures are written [samples/]"
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for sample in SAMPLES:
        rng, card = draw(sample, options.seed)
        sample.save(rng, card, options.out / sample.file)


if __name__ == "__main__":
    main()
