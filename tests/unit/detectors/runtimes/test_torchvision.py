"""torchvision's detectors need only a state dict and an entry, and find the same as when they are called directly."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detectors.catalogue import Catalogue, ModelEntry
from detectors.digest import digest_of
from detectors.errors import ModelUnusable
from jobs.settings import ROOT
from tests import torchvision_models
from tests.detector_process import DetectorProcess

SSDLITE, FASTER_RCNN = "ssdlite320_mobilenet_v3_large", "fasterrcnn_mobilenet_v3_large_320_fpn"
ENTRY = """
[shop]
runtime = "pytorch"
format = "torchvision"
builder = "{builder}"
file = "weights.pth"
sha256 = "{sha256}"
labels = {labels}
[shop.output]
floor_score = {floor}
"""


@pytest.fixture(scope="module")
def process() -> Iterator[DetectorProcess]:
    # A separate process. The process of the other tests shows that no other code imports torchvision.
    process = DetectorProcess()
    yield process
    process.close()


def entry(folder: Path, builder: str, labels: str = '["a", "b", "c"]', floor: float = 0.0) -> ModelEntry:
    catalogue = folder / "catalogue.toml"
    sha256 = digest_of(folder / "weights.pth")
    catalogue.write_text(ENTRY.format(builder=builder, sha256=sha256, labels=labels, floor=floor))
    return Catalogue.load(catalogue).get("shop")


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    files = [path for path in sorted((ROOT / "samples").iterdir()) if path.suffix != ".md"][:3]
    return [np.asarray(Image.open(file).convert("RGB")) for file in files]


@pytest.mark.parametrize("builder", [SSDLITE, FASTER_RCNN])
def test_the_detector_finds_the_same_as_torchvision(
    process: DetectorProcess, tmp_path: Path, pictures: list[np.ndarray], builder: str
) -> None:
    file = tmp_path / "weights.pth"
    process.run(torchvision_models.write, builder, file)

    found = process.detect(entry(tmp_path, builder), pictures)

    wanted = process.run(torchvision_models.detect, builder, file, pictures)
    for one, other in zip(found, wanted, strict=True):
        assert len(one.scores) == len(other["scores"]) > 10
        order = np.argsort(-other["scores"], kind="stable")
        np.testing.assert_allclose(one.scores, other["scores"][order], atol=1e-6)
        np.testing.assert_allclose(one.boxes, other["boxes"][order], atol=1e-2)
        assert one.class_ids.tolist() == (other["labels"][order] - 1).tolist()


def test_weights_may_lie_channels_last(process: DetectorProcess, tmp_path: Path, pictures: list[np.ndarray]) -> None:
    process.run(torchvision_models.write, SSDLITE, tmp_path / "weights.pth")
    plain = entry(tmp_path, SSDLITE, floor=0.1)
    # Another name for the file, as a process keeps what it has loaded by file and digest.
    (tmp_path / "same.pth").symlink_to(tmp_path / "weights.pth")
    laid_out = plain.model_copy(update={"file": tmp_path / "same.pth", "channels_last": True})

    found, wanted = (process.detect(one, pictures) for one in (laid_out, plain))

    for one, other in zip(found, wanted, strict=True):
        assert one.class_ids.tolist() == other.class_ids.tolist() != []
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=0.05)


def test_less_than_full_precision_is_refused_on_the_cpu(process: DetectorProcess, tmp_path: Path) -> None:
    process.run(torchvision_models.write, SSDLITE, tmp_path / "weights.pth")
    half = entry(tmp_path, SSDLITE).model_copy(update={"precision": "half"})

    with pytest.raises(ModelUnusable, match=r"shop: precision half needs CUDA.*BOXQUEUE_DEVICE=cuda"):
        process.detect(half, [])


@pytest.mark.parametrize("precision", ["half", "bfloat16"])
def test_less_than_full_precision_finds_nearly_the_same(
    process: DetectorProcess, tmp_path: Path, pictures: list[np.ndarray], precision: str
) -> None:
    process.run(torchvision_models.write, FASTER_RCNN, tmp_path / "weights.pth")
    full = entry(tmp_path, FASTER_RCNN)

    (found,) = process.run(torchvision_models.detect_in, precision, full, pictures[:1])

    (wanted,) = process.detect(full, pictures[:1])
    np.testing.assert_allclose(found.scores[:10], wanted.scores[:10], atol=0.02)
    assert not np.array_equal(found.scores[:10], wanted.scores[:10])


@pytest.mark.parametrize("wrapping", ["checkpoint", "DataParallel", "Lightning"])
def test_weights_come_in_the_usual_wrappings(process: DetectorProcess, tmp_path: Path, wrapping: str) -> None:
    process.run(torchvision_models.write, SSDLITE, tmp_path / "weights.pth", wrapping)
    picture = np.full((320, 320, 3), 255, np.uint8)

    (found,) = process.detect(entry(tmp_path, SSDLITE), [picture])

    plain = tmp_path / "plain.pth"
    process.run(torchvision_models.write, SSDLITE, plain)
    (wanted,) = process.run(torchvision_models.detect, SSDLITE, plain, [picture])
    np.testing.assert_allclose(found.scores, np.sort(wanted["scores"])[::-1], atol=1e-6)


@pytest.mark.parametrize(
    ("wrapping", "builder", "labels", "message"),
    [
        ("whole model", SSDLITE, '["a", "b", "c"]', "more than weights"),
        ("", "fasterrcnn", '["a", "b", "c"]', "no builder 'fasterrcnn'; there are fasterrcnn_"),
        ("", SSDLITE, '["a", "b"]', "class ids 0 to 2"),
        ("", SSDLITE, '{ 1 = "a", 7 = "b" }', "class ids 0 to 7"),
        ("", "retinanet_resnet50_fpn", '["a", "b", "c"]', "do not fit retinanet_resnet50_fpn"),
    ],
    ids=["a pickle of a model", "an unknown builder", "too few labels", "other ids", "another model"],
)
def test_weights_that_do_not_fit_are_refused(
    process: DetectorProcess, tmp_path: Path, wrapping: str, builder: str, labels: str, message: str
) -> None:
    process.run(torchvision_models.write, SSDLITE, tmp_path / "weights.pth", wrapping)

    with pytest.raises(ModelUnusable, match=message) as caught:
        process.detect(entry(tmp_path, builder, labels), [np.zeros((320, 320, 3), np.uint8)])

    assert "shop" in str(caught.value)
    assert len(str(caught.value)) < 900
