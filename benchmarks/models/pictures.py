"""The pictures of a benchmark: from a folder, or generated cards."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from training.cards.generator import draw_card

SIZE = (640, 480)
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
# The training draws no cards with seeds from here on.
FIRST_SEED = 7_000_000


@contextmanager
def pictures(folder: Path | None, count: int) -> Iterator[list[Path]]:
    """At most `count` different files of `folder`, or `count` JPEGs of 640 × 480 pixels."""
    if folder:
        yield sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)[:count]
        return
    with tempfile.TemporaryDirectory(prefix="boxqueue-pictures-") as temporary:
        for number in range(count):
            card = draw_card(FIRST_SEED + number % 64, damage=False).image
            # A shift makes each file different; drawing a new card for each would take longer.
            moved = Image.new("RGB", SIZE, "white")
            moved.paste(card.resize((560, 400)), (number // 64 * 8, number % 64))
            moved.save(Path(temporary) / f"{number:05}.jpg", quality=85)
        yield sorted(Path(temporary).iterdir())
