"""The pictures that benchmarks work on: a folder of yours, or cards drawn for the purpose."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from training.cards.generator import draw_card

SIZE = (640, 480)
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
# Of seeds that no training draws.
FIRST_SEED = 7_000_000


@contextmanager
def pictures(folder: Path | None, count: int) -> Iterator[list[Path]]:
    """`count` different files: the first of `folder` (fewer where it has fewer), or JPEGs of 640 × 480."""
    if folder:
        yield sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)[:count]
        return
    with tempfile.TemporaryDirectory(prefix="boxqueue-pictures-") as made:
        for number in range(count):
            card = draw_card(FIRST_SEED + number % 64, damage=False).image
            # A shift of its own makes each file different without drawing each from nothing.
            moved = Image.new("RGB", SIZE, "white")
            moved.paste(card.resize((560, 400)), (number // 64 * 8, number % 64))
            moved.save(Path(made) / f"{number:05}.jpg", quality=85)
        yield sorted(Path(made).iterdir())
