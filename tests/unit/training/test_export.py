from pathlib import Path

import pytest
import torch

from detectors.catalogue import Catalogue
from detectors.pictures.decode import decode
from detectors.pictures.preprocess import to_tensor
from jobs.settings import ROOT
from tests.unit.training.conftest import SHAPES
from training.__main__ import initial_network
from training.catalogue_entries import Description, catalogue_text, read_description
from training.data.datasets import Example
from training.data.views import INPUT
from training.export import export, fold_batch_norm, load_network, unfold_batch_norm
from training.model.layout import LABELS
from training.model.network import CenterNet, Program
from training.model.write_onnx import verify, write_onnx

CARDS = Description("cards", LABELS)


@pytest.fixture
def bundled() -> CenterNet:
    return load_network(ROOT / "weights" / "cards.pt2")


def test_the_workers_read_the_catalogue_as_it_was_described(tmp_path: Path) -> None:
    described = Description("my.parts-2", ("Schraube", 'a "quoted" one', "螺丝 🔩"), "Screws\nand nuts.", "CC0-1.0")
    (tmp_path / "catalogue.toml").write_text(catalogue_text(described, [letter * 64 for letter in "abcd"]), "utf-8")

    entries = Catalogue.load(tmp_path / "catalogue.toml").entries

    assert [(e.name, e.runtime, e.format, e.file.name) for e in entries.values()] == [
        ("my.parts-2-pytorch", "pytorch", "pt2", "my.parts-2.pt2"),
        ("my.parts-2-tensorflow", "tensorflow", "saved_model", "my.parts-2.saved_model"),
        ("my.parts-2-frozen", "tensorflow", "frozen_graph", "my.parts-2.pb"),
        ("my.parts-2-onnx", "onnx", "onnx", "my.parts-2.onnx"),
    ]
    assert {entry.labels for entry in entries.values()} == {described.labels}
    assert read_description(tmp_path / "catalogue.toml") == described


@pytest.mark.slow
def test_the_same_network_gives_the_same_onnx_file_and_no_path(bundled: CenterNet, tmp_path: Path) -> None:
    write_onnx(bundled, tmp_path / "cards.onnx")

    written = (tmp_path / "cards.onnx").read_bytes()
    assert written == (ROOT / "weights" / "cards.onnx").read_bytes()
    assert b".py" not in written


def test_an_onnx_file_of_another_network_is_refused(bundled: CenterNet) -> None:
    samples = sorted((ROOT / "samples").glob("*.png"))[:2]
    pictures = torch.from_numpy(to_tensor([decode(file.read_bytes(), INPUT).pixels for file in samples], INPUT))
    bundled.heat.register_forward_hook(lambda _, __, heat: heat + torch.tensor(0.02))

    with pytest.raises(RuntimeError, match=r"cards\.onnx differs from its network:\npicture 0, only the first: class"):
        verify(Program(bundled).eval(), ROOT / "weights" / "cards.onnx", pictures)


def test_nothing_is_written_if_tensorflow_finds_other_boxes(bundled: CenterNet, tmp_path: Path) -> None:
    samples = sorted((ROOT / "samples").glob("*.png"))
    pictures = torch.from_numpy(to_tensor([decode(file.read_bytes(), INPUT).pixels for file in samples], INPUT))
    # A change of the network that its weights do not have.
    bundled.heat.register_forward_hook(lambda _, __, heat: heat + torch.tensor(0.02))

    with pytest.raises(RuntimeError, match=r"detections differ from those of PyTorch:\ncards\.saved_model, picture"):
        export(bundled, tmp_path / "weights", CARDS, pictures)

    assert list((tmp_path / "weights").iterdir()) == []


def test_an_unfolded_network_predicts_the_same(bundled: CenterNet) -> None:
    torch.manual_seed(0)
    pixels = torch.rand(2, 3, 128, 192) * 2 - 1

    with torch.no_grad():
        whole = unfold_batch_norm(bundled, pixels).train()
        for one, other in zip(bundled(pixels), whole(pixels), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
        for one, other in zip(bundled(pixels), fold_batch_norm(whole)(pixels), strict=True):
            # The forward passes above have updated the running statistics.
            torch.testing.assert_close(one, other, rtol=0.05, atol=0.1)


def test_a_new_model_starts_with_the_bundled_heads_of_its_labels(bundled: CenterNet, shapes: list[Example]) -> None:
    labels = (SHAPES[0], "checkbox", SHAPES[1])
    ours, theirs = labels.index("checkbox"), LABELS.index("checkbox")

    network = initial_network(shapes, labels)

    assert network.heat.weight.shape[0] == 3
    assert torch.equal(network.heat.weight[ours], bundled.heat.weight[theirs])
    assert torch.equal(
        network.distances.bias[4 * ours : 4 * ours + 4], bundled.distances.bias[4 * theirs : 4 * theirs + 4]
    )
    assert not torch.equal(network.heat.weight[0], bundled.heat.weight[0])
