from pathlib import Path
from random import Random

import pytest
from PIL import Image, ImageDraw

from training.boxes import Box
from training.data.datasets import Example

SHAPES = ("disc", "square")


def draw_shapes(folder: Path, count: int) -> list[Example]:
    """Pictures of red discs and blue squares, in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    examples = []
    for number in range(count):
        rng = Random(number)
        image = Image.new("RGB", (320, 240), (rng.randint(180, 255),) * 3)
        draw, boxes = ImageDraw.Draw(image), []
        for column in range(3):
            label, size = rng.choice(SHAPES), rng.randint(30, 80)
            x, y = 10 + 105 * column + rng.randint(0, 20), rng.randint(5, 150)
            corners = (x, y, x + size, y + size)
            if label == "disc":
                draw.ellipse(corners, (220, 30, 30))
            else:
                draw.rectangle(corners, (30, 30, 220))
            boxes.append(Box(label, *map(float, corners)))
        file = folder / f"{number:03}.png"
        image.save(file)
        examples.append(Example(file, 320, 240, tuple(boxes), frozenset(SHAPES)))
    return examples


@pytest.fixture
def shapes(tmp_path: Path) -> list[Example]:
    return draw_shapes(tmp_path / "shapes", 12)
