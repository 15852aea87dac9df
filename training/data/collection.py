"""Writes generated cards as a labelled folder: pictures and COCO annotations."""

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
from training.data.coco import write_coco
from training.data.datasets import Dataset, Example, read
from training.model.layout import LABELS, VIEW_SIZE

MAX_SIDE = 3 * VIEW_SIZE // 2
"""Largest width or height in pixels: enough for an enlarged view, and fast to read."""
MANIFEST = "made.json"
"""The file that lists which cards are in the folder. It is written last."""


def draw_collection(folder: Path, count: int, first_seed: int, report: Callable[[int], None]) -> Dataset:
    """Draws `count` cards with the seeds from `first_seed` on, unless the folder has them. `report` is called with the
    number of drawn cards."""
    contents = {"count": count, "first_seed": first_seed, "fingerprint": _fingerprint(first_seed)}
    manifest = folder / MANIFEST
    if not manifest.exists() or json.loads(manifest.read_text(encoding="utf-8")) != contents:
        manifest.unlink(missing_ok=True)
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
        manifest.write_text(json.dumps(contents), encoding="utf-8")
    return read(folder, LABELS, trusted=True)


def _fingerprint(seed: int) -> str:
    """SHA-256 of some cards. It changes if the fonts of the machine or the code of the generator change."""
    digest = hashlib.sha256()
    for number in range(seed, seed + 8):
        card = draw_card(number)
        digest.update(card.image.tobytes() + repr(card.boxes).encode())
    return digest.hexdigest()


def _draw(folder: Path, seed: int) -> Example:
    card = draw_card(seed)
    image, boxes = card.image, card.boxes
    scale = MAX_SIDE / max(image.size)
    if scale < 1:
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
        across, down = image.width / card.image.width, image.height / card.image.height
        boxes = tuple(box.moved(0.0, 0.0, across, down) for box in boxes)
    file = folder / f"{seed}.png"
    image.save(file, compress_level=1)
    return Example(file, image.width, image.height, boxes, frozenset(LABELS))
