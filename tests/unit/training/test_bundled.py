from pathlib import Path

import pytest
import torch

from detectors.catalogue import Catalogue
from training.cards import draw_card
from training.data import INPUT, Example
from training.evaluate import Program, Quality, assess
from training.layout import LABELS

WEIGHTS = Path(__file__).parents[3] / "weights"
UNUSED = 1 << 52
"""Cards with seeds from here on were neither trained nor measured on."""


@pytest.fixture(scope="module")
def program() -> Program:
    return torch.export.load(WEIGHTS / "cards.pt2").module()


@pytest.mark.parametrize("name", ["cards-pytorch", "cards-tensorflow", "cards-frozen"])
def test_the_catalogue_describes_the_files(name: str) -> None:
    entry = Catalogue.load(WEIGHTS / "catalogue.toml").get(name)

    entry.verify()
    assert entry.labels == LABELS
    assert entry.input == INPUT
    files = [entry.file, *entry.file.rglob("*")]
    assert all(file.stat().st_size < 5_000_000 for file in files)


def test_it_takes_batches_of_any_size(program: Program) -> None:
    pictures = torch.zeros(3, INPUT.height, INPUT.width, 3, dtype=torch.uint8)

    boxes, scores, classes = program(pictures)

    assert boxes.shape == (3, 100, 4)
    assert scores.shape == classes.shape == (3, 100)
    assert torch.equal(boxes[0], boxes[2])


def test_it_finds_most_text_on_new_cards(program: Program) -> None:
    cards = [draw_card(UNUSED + number, "light", damage=False) for number in range(6)]

    found: dict[str, Quality] = {
        quality.label: quality for quality in assess(program, [Example("", c.image, c.boxes) for c in cards])
    }

    assert found["textbox"].recall > 0.7
    assert found["textbox"].precision > 0.7
