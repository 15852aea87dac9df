from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image

from training.boxes import Box
from training.data.datasets import Example
from training.data.views import INPUT, augment, letterbox
from training.model.layout import VIEW_SIZE

RED, WHITE = (255, 0, 0), (255, 255, 255)


@pytest.fixture
def example(tmp_path: Path) -> Example:
    """A white picture of 600 x 300 with a red rectangle, whose box is known."""
    image = Image.new("RGB", (600, 300), WHITE)
    image.paste(RED, (200, 100, 400, 180))
    image.save(tmp_path / "red.png")
    return Example(tmp_path / "red.png", 600, 300, (Box("red", 200, 100, 400, 180),), frozenset({"red"}))


def test_a_plain_view_equals_the_input_of_the_detector(example: Example) -> None:
    view = letterbox(example)

    scale = VIEW_SIZE / 600
    (box,) = view.boxes
    assert view.pixels.shape == (VIEW_SIZE, VIEW_SIZE, 3)
    assert (view.pixels[300:] == INPUT.padding).all()
    assert (box.x1, box.y1, box.x2, box.y2) == pytest.approx((200 * scale, 100 * scale, 400 * scale, 180 * scale))


def test_boxes_move_with_their_objects(example: Example) -> None:
    checked = 0
    for seed in range(60):
        view = augment(Random(seed), example)
        for box in view.boxes:
            # Colours change, but inside of the rectangle the picture has one colour and just outside another.
            inside = view.pixels[round(box.y1 + box.y2) // 2, round(box.x1 + 6) : round(box.x2 - 6)].astype(int)
            assert np.abs(inside - np.median(inside, axis=0)).mean() < 25
            if box.x1 > 8:
                outside = view.pixels[round(box.y1 + box.y2) // 2, round(box.x1) - 6].astype(int)
                assert np.abs(np.median(inside, axis=0) - outside).max() > 40
                checked += 1
    assert checked > 30


def test_a_box_that_is_half_cut_off_becomes_unclear(example: Example) -> None:
    views = [augment(Random(seed), example, size=(224, 224)) for seed in range(40)]

    assert all(view.pixels.shape == (224, 224, 3) for view in views)
    assert any(view.unclear for view in views)
    for view in views:
        assert len(view.boxes) + len(view.unclear) <= 1
        for box in (*view.boxes, *view.unclear):
            assert 0 <= box.x1 < box.x2 <= 224
            assert 0 <= box.y1 < box.y2 <= 224


def test_the_same_seed_gives_the_same_view(example: Example) -> None:
    first, again, other = (augment(Random(seed), example) for seed in (5, 5, 6))

    assert first.pixels.tobytes() == again.pixels.tobytes()
    assert first.boxes == again.boxes
    assert first.pixels.tobytes() != other.pixels.tobytes()
