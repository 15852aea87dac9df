"""The bundled model finds the same in PyTorch and in TensorFlow."""

from itertools import starmap
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.models.formats import RAW
from detectors.catalogue import Catalogue
from detectors.digest import digest_of
from detectors.pictures.decode import decode as decode_picture
from detectors.postprocess import Detections
from jobs.settings import ROOT
from tests import tensorflow_decoding
from tests.conftest import DetectorProcesses
from training.cards.generator import draw_card
from training.data.views import INPUT
from training.export import load_network
from training.model.border_refinement import BorderRefinement
from training.model.network import decode
from training.model.parity import differences, furthest

GENERATED = 26
UNUSED = 1 << 52
"""No training and no evaluation draws cards with seeds from here on."""


def samples() -> list[np.ndarray]:
    files = [path for path in sorted((ROOT / "samples").iterdir()) if path.suffix != ".md"]
    return [decode_picture(path.read_bytes(), INPUT).pixels for path in files]


def test_the_same_weights_find_the_same_in_every_runtime(detector_processes: DetectorProcesses) -> None:
    pictures = samples()
    pictures += [np.asarray(draw_card(UNUSED + n).image) for n in range(GENERATED)]
    catalogue = Catalogue.load(ROOT / "weights" / "catalogue.toml")

    def found(name: str) -> list[Detections]:
        entry = catalogue.get(name)
        return detector_processes[entry.runtime].detect(entry, pictures)

    expected = found("cards-pytorch")
    assert sum(int((one.scores > 0.3).sum()) for one in expected) > 10 * len(pictures)
    for name in ("cards-tensorflow", "cards-frozen", "cards-onnx"):
        assert [line for lines in starmap(differences, zip(expected, found(name), strict=True)) for line in lines] == []


def test_a_raw_saved_model_with_other_names_finds_the_same(
    detector_processes: DetectorProcesses, tmp_path: Path
) -> None:
    weights = {
        name: weight.numpy() for name, weight in load_network(ROOT / "weights" / "cards.pt2").state_dict().items()
    }
    detector_processes["tensorflow"].run(tensorflow_decoding.write_raw, weights, tmp_path / "cards-raw")
    (tmp_path / "catalogue.toml").write_text(RAW.format(sha256=digest_of(tmp_path / "cards-raw")))
    catalogue = Catalogue.load(ROOT / "weights" / "catalogue.toml", tmp_path / "catalogue.toml")
    pictures = samples()

    expected, found = (
        detector_processes[entry.runtime].detect(entry, pictures)
        for entry in map(catalogue.get, ("cards-pytorch", "cards-raw"))
    )

    assert sum(len(one.scores) for one in found) > 5 * len(pictures)
    assert [line for lines in starmap(differences, zip(expected, found, strict=True)) for line in lines] == []


def test_both_frameworks_choose_the_same_of_equal_peaks(detector_processes: DetectorProcesses) -> None:
    rng = np.random.default_rng(0)
    # Few different values, so that most peaks have equals, in their neighbourhood and elsewhere.
    heat = rng.integers(-4, 3, (2, 6, 128, 128)).astype(np.float32)
    distances = rng.normal(1, 1, (2, 24, 128, 128)).astype(np.float32)

    maps = torch.from_numpy(heat), torch.from_numpy(distances)
    boxes, scores, classes = (answer.numpy() for answer in decode(*maps, lambda corners, _: corners))
    tensorflow = detector_processes["tensorflow"].run(tensorflow_decoding.decoded, heat, distances)

    assert np.array_equal(tensorflow["detection_classes"] - 1, classes)
    assert tensorflow["detection_scores"] == pytest.approx(scores, abs=1e-6)
    assert INPUT.width * tensorflow["detection_boxes"][..., [1, 0, 3, 2]] == pytest.approx(boxes, abs=1e-3)


def test_both_frameworks_refine_boxes_in_the_same_way(detector_processes: DetectorProcesses) -> None:
    torch.manual_seed(0)
    borders = BorderRefinement(6)
    torch.nn.init.normal_(borders.kind)
    torch.nn.init.normal_(borders.move)
    edges = torch.randn(2, 32, 128, 128)
    corners = torch.rand(2, 100, 4) * 120 - 4  # some boxes are outside of the picture
    kinds = torch.randint(0, 6, (2, 100))

    with torch.no_grad():
        picture = torch.arange(2).repeat_interleave(100)
        moved = borders(edges, picture, corners.flatten(0, 1), kinds.flatten()).reshape(2, 100, 4).numpy()
    weights = {f"borders.{name}": weight.numpy() for name, weight in borders.state_dict().items()}
    tensorflow = detector_processes["tensorflow"].run(
        tensorflow_decoding.moved, weights, edges.numpy(), corners.numpy(), kinds.numpy()
    )

    assert np.abs(moved - corners.numpy()).max() > 1
    assert tensorflow == pytest.approx(moved, abs=1e-3)


@pytest.mark.parametrize(
    ("other", "lines"),
    [
        ([[10, 10, 30, 30.1], [50, 50, 70, 70]], 0),
        ([[10, 10, 30, 31], [50, 50, 70, 70]], 2),
        ([[10, 10, 30, 30]], 1),
    ],
    ids=["within the margin", "another box", "one is missing"],
)
def test_differences_are_listed(other: list[list[float]], lines: int) -> None:
    def detections(boxes: list[list[float]]) -> Detections:
        n = len(boxes)
        return Detections(np.array(boxes, np.float32), np.full(n, 0.5, np.float32), np.zeros(n, np.int64))

    assert len(differences(detections([[10, 10, 30, 30], [50, 50, 70, 70]]), detections(other))) == lines


def test_the_largest_difference_of_matching_detections() -> None:
    boxes = np.array([[0, 0, 100, 100], [200, 0, 300, 100], [0, 0, 9, 9]], np.float32)
    one = Detections(boxes, np.array([0.9, 0.8, 0.1], np.float32), np.array([0, 1, 0]))
    moved = boxes + np.array([[0, 0, 0.25, 0], [0, 0, 0, 0], [50, 50, 50, 50]], np.float32)
    other = Detections(moved, np.array([0.9, 0.8005, 0.1], np.float32), np.array([0, 1, 0]))

    assert furthest(one, other) == (0.25, pytest.approx(0.0005, abs=1e-6))
    assert differences(one, other) == []
    nothing = Detections(boxes[:0], one.scores[:0], one.class_ids[:0])
    assert furthest(one, nothing) == (0.0, 0.0)
    assert len(differences(one, nothing)) == 2
