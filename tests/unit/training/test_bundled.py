from pathlib import Path

import pytest
import torch

from detectors.catalogue import Catalogue
from jobs.settings import ROOT
from training.cards.generator import draw_card
from training.catalogue_entries import catalogue_text, read_description
from training.data.datasets import Example
from training.data.views import INPUT
from training.evaluate.scores import score
from training.export import load_network
from training.model.inference import predict
from training.model.layout import DETECTIONS, LABELS

WEIGHTS = ROOT / "weights"
UNUSED = 1 << 52
"""No training and no evaluation draws cards with seeds from here on."""


@pytest.mark.parametrize("name", ["cards-pytorch", "cards-tensorflow", "cards-frozen", "cards-onnx"])
def test_the_catalogue_describes_the_files(name: str) -> None:
    entry = Catalogue.load(WEIGHTS / "catalogue.toml").get(name)

    entry.verify()
    assert entry.labels == LABELS
    assert entry.input == INPUT
    files = [entry.file, *entry.file.rglob("*")]
    assert all(file.stat().st_size < 5_000_000 for file in files)


def test_the_training_would_write_the_same_catalogue() -> None:
    catalogue = WEIGHTS / "catalogue.toml"
    digests = [entry.sha256 for entry in Catalogue.load(catalogue).entries.values()]

    assert catalogue.read_text(encoding="utf-8") == catalogue_text(read_description(catalogue), digests)


def test_the_bundled_model_is_small() -> None:
    assert sum(weights.numel() for weights in load_network(WEIGHTS / "cards.pt2").parameters()) < 1_500_000


def test_the_bundled_model_accepts_batches_of_any_size() -> None:
    program = torch.export.load(WEIGHTS / "cards.pt2").module()
    pictures = torch.zeros(3, INPUT.height, INPUT.width, 3, dtype=torch.uint8)

    boxes, scores, classes = program(pictures)

    assert boxes.shape == (3, DETECTIONS, 4)
    assert scores.shape == classes.shape == (3, DETECTIONS)
    assert torch.equal(boxes[0], boxes[2])


def test_the_bundled_model_finds_the_parts_of_new_cards(tmp_path: Path) -> None:
    examples = []
    for number in range(24):
        card = draw_card(UNUSED + number, damage=False)
        card.image.save(tmp_path / f"{number}.png")
        examples.append(Example(tmp_path / f"{number}.png", *card.image.size, card.boxes, frozenset(LABELS)))

    report = score(examples, LABELS, predict(load_network(WEIGHTS / "cards.pt2"), examples, LABELS))

    assert report.rows[LABELS.index("textbox")].ap50 == pytest.approx(1, abs=0.15)
    assert report.mean.ap50 == pytest.approx(1, abs=0.15)
