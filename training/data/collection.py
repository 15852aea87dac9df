"""Generated cards as a folder that can be looked at and trained on like any other: pictures and COCO annotations."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from PIL import Image

from training.cards.generator import draw_card
from training.cards.rendering.sheet import Box
from training.data.datasets import Dataset, Example, read, write_coco
from training.model.layout import LABELS, VIEW_SIZE

LONGEST = 3 * VIEW_SIZE // 2
"""Pixels of the longer side, at most: enough for a close view, and quick to read."""
TOLD = "made.json"


def draw_collection(folder: Path, count: int, first_seed: int, report: Callable[[int], None]) -> Dataset:
    """So many cards with the seeds from `first_seed` on; what is there already is not drawn again. `report` gets the
    number of cards that are done."""
    wanted = {"count": count, "first_seed": first_seed, "look": _look(first_seed)}
    told = folder / TOLD
    if not told.exists() or json.loads(told.read_text(encoding="utf-8")) != wanted:
        told.unlink(missing_ok=True)
        pictures = folder / "images"
        pictures.mkdir(parents=True, exist_ok=True)
        examples = []
        with ProcessPoolExecutor(len(os.sched_getaffinity(0)), multiprocessing.get_context("spawn")) as pool:
            for done, example in enumerate(
                pool.map(partial(_draw, pictures), range(first_seed, first_seed + count), chunksize=16), start=1
            ):
                examples.append(example)
                report(done)
        write_coco(folder, examples, LABELS)
        told.write_text(json.dumps(wanted), encoding="utf-8")
    return read(folder, LABELS, trusted=True)


def _look(seed: int) -> str:
    """Other fonts on the machine, or another way of drawing, are other cards."""
    seen = hashlib.sha256()
    for number in range(seed, seed + 8):
        card = draw_card(number)
        seen.update(card.image.tobytes() + repr(card.boxes).encode())
    return seen.hexdigest()


def _draw(folder: Path, seed: int) -> Example:
    card = draw_card(seed)
    image, boxes = card.image, card.boxes
    scale = LONGEST / max(image.size)
    if scale < 1:
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
        across, down = image.width / card.image.width, image.height / card.image.height
        boxes = tuple(Box(b.label, b.x1 * across, b.y1 * down, b.x2 * across, b.y2 * down) for b in boxes)
    file = folder / f"{seed}.png"
    image.save(file, compress_level=1)
    return Example(file, image.width, image.height, boxes, frozenset(LABELS))
