"""`add` infers the entry of a model file of every format. With it, a worker finds the same as the model."""

import os
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detectors.catalogue import Catalogue
from detectors.errors import CatalogueError, DetectorError, ModelUnusable
from detectors.onboarding.add import add
from detectors.onboarding.detect_format import RUNTIMES
from tests import tiny_models, torchvision_models
from tests.conftest import DetectorProcesses

LABELS = "red,green,blue"
SSDLITE = "ssdlite320_mobilenet_v3_large"
FASTER_RCNN = "fasterrcnn_mobilenet_v3_large_320_fpn"
OWN = "torchvision"
"""The name of a separate process. The process of the other tests shows that no other code imports torchvision."""


def arguments(file: Path, **changes: Any) -> Namespace:
    """The options of the command."""
    usual = {
        "catalogue": [file.parent / "mine.toml"],
        "cache": file.parent / "cache",
        "device": "cpu",
        "threads": 1,
        "name": "tiny",
        "labels": LABELS,
        "builder": None,
        "size": None,
        "dry_run": False,
        "replace": True,
    }
    return Namespace(file=file, **{**usual, **changes})


def picture(red: int, green: int, blue: int) -> np.ndarray:
    return np.full((64, 64, 3), (red, green, blue), np.uint8)


@pytest.mark.parametrize(
    ("model_format", "size"),
    [
        ("pt2", None),
        pytest.param("aotinductor", (32, 32), marks=pytest.mark.compiler),
        ("torchscript", (32, 32)),
        ("saved_model", None),
        ("frozen_graph", None),
    ],
)
def test_an_added_model_finds_the_same_as_the_original(
    detector_processes: DetectorProcesses, tmp_path: Path, model_format: str, size: tuple[int, int] | None
) -> None:
    file = tmp_path / "model.bin"
    process = detector_processes[RUNTIMES[model_format]]
    process.run(tiny_models.write, model_format, file)

    made = process.run(add, arguments(file, size=size))

    entry = Catalogue.load(tmp_path / "mine.toml").get("tiny")
    assert (entry.format, entry.labels, entry.batch_size) == (model_format, ("red", "green", "blue"), 8)
    assert made["entry"] == (tmp_path / "mine.toml").read_text()
    assert 'file = "model.bin"' in made["entry"]
    (found,) = process.detect(entry, [picture(204, 102, 51)])
    assert found.class_ids.tolist() == [0, 1, 2]
    np.testing.assert_allclose(found.scores, [0.8, 0.4, 0.2], atol=1e-6)
    np.testing.assert_allclose(found.boxes, tiny_models.BOXES * 2, atol=1e-4)


def test_input_and_columns_are_inferred_from_a_blank_picture(
    detector_processes: DetectorProcesses, tmp_path: Path
) -> None:
    file = tmp_path / "columns.pt"
    process = detector_processes["pytorch"]
    process.run(tiny_models.write_columns, file)

    made = process.run(add, arguments(file, size=(32, 32)))

    entry = Catalogue.load(tmp_path / "mine.toml").get("tiny")
    assert (entry.input.layout, entry.input.dtype, entry.input.scale) == ("NCHW", "float32", pytest.approx(1 / 255))
    assert (entry.output.background, entry.output.activation) == ("last", "softmax")
    assert "scale = 0.00392156862745098 # inferred: " in made["entry"]
    (found,) = process.detect(entry, [picture(255, 0, 255)])
    assert found.class_ids.tolist() == [1]
    np.testing.assert_allclose(found.boxes, tiny_models.BOXES[1:2] * 2, atol=1e-4)


@pytest.mark.parametrize(
    ("model_format", "changes", "message"),
    [
        ("torchscript", {}, r"does not state the size of its input: add --size"),
        ("pt2", {"size": (64, 64)}, r"takes uint8 any × 32 × 32 × 3, which does not fit --size"),
        ("pt2", {"labels": None}, r"Add --labels with a label for each class"),
        ("pt2", {"labels": "red,green"}, r"found class 2, but its entry has no label for it"),
        ("pt2", {"labels": "none.txt"}, r"none\.txt can't be read"),
        ("pt2", {"name": "a b"}, r"field name"),
        ("pt2", {"builder": SSDLITE}, r"has the format pt2, and --builder is only for state dicts"),
    ],
)
def test_a_model_that_cannot_be_added_is_an_error_and_nothing_is_written(
    detector_processes: DetectorProcesses, tmp_path: Path, model_format: str, changes: dict[str, Any], message: str
) -> None:
    file = tmp_path / "model.bin"
    process = detector_processes["pytorch"]
    process.run(tiny_models.write, model_format, file)

    with pytest.raises(DetectorError, match=message):
        process.run(add, arguments(file, **changes))

    assert os.listdir(tmp_path) == ["model.bin"]


@pytest.mark.parametrize("content", [b"PK\x03\x04 and no more", b"model, say"])
def test_a_file_of_no_supported_format_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.pt2").write_bytes(content)

    with pytest.raises(ModelUnusable, match="no supported format"):
        add(arguments(tmp_path / "model.pt2"))


def test_a_fixed_batch_size_is_read_from_the_program(detector_processes: DetectorProcesses, tmp_path: Path) -> None:
    process = detector_processes["pytorch"]
    process.run(tiny_models.write, "pt2", tmp_path / "one.pt2", 1)
    process.run(tiny_models.write, "pt2", tmp_path / "four.pt2", 4)

    process.run(add, arguments(tmp_path / "one.pt2"))

    assert Catalogue.load(tmp_path / "mine.toml").get("tiny").batch_size == 1
    with pytest.raises(ModelUnusable, match="exactly 4 pictures at a time"):
        process.run(add, arguments(tmp_path / "four.pt2", name="four"))


@pytest.fixture(scope="module")
def weights(detector_processes: DetectorProcesses, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict as Lightning writes it."""
    file = tmp_path_factory.mktemp("weights") / "shop.ckpt"
    detector_processes[OWN].run(torchvision_models.write, SSDLITE, file, "Lightning")
    return file


def test_builder_and_number_of_labels_are_found_from_a_state_dict(
    detector_processes: DetectorProcesses, weights: Path
) -> None:
    process = detector_processes[OWN]
    with pytest.raises(CatalogueError, match="with 3 labels, or 4 if"):
        process.run(add, arguments(weights, labels=None))
    with pytest.raises(CatalogueError, match=r"needs 3 labels, or 4 if .*, but --labels has 2 labels"):
        process.run(add, arguments(weights, labels="a,b"))
    (weights.parent / "labels.txt").write_text("red\ngreen\nblue\n")

    process.run(add, arguments(weights, labels=None))

    text = (weights.parent / "mine.toml").read_text()
    assert f'builder = "{SSDLITE}"\nlabels = "labels.txt" # found beside' in text
    entry = Catalogue.load(weights.parent / "mine.toml").get("tiny")
    assert (entry.labels, list(entry.class_ids)) == (("red", "green", "blue"), [1, 2, 3])


def test_weights_that_fit_several_builders_or_none_are_refused(
    detector_processes: DetectorProcesses, tmp_path: Path
) -> None:
    process = detector_processes[OWN]
    process.run(torchvision_models.write, FASTER_RCNN, tmp_path / "shop.pth")

    with pytest.raises(
        ModelUnusable, match=f"fit {FASTER_RCNN} and fasterrcnn_mobilenet_v3_large_fpn; choose one with --builder"
    ):
        process.run(add, arguments(tmp_path / "shop.pth"))
    with pytest.raises(ModelUnusable, match=rf"do not fit {SSDLITE}: the file lacks backbone.features.0.0.0.weight, "):
        process.run(add, arguments(tmp_path / "shop.pth", builder=SSDLITE))
    with pytest.raises(ModelUnusable, match="there is no builder 'ssdlite'"):
        process.run(add, arguments(tmp_path / "shop.pth", builder="ssdlite"))


def test_a_file_that_holds_more_than_weights_is_not_run(detector_processes: DetectorProcesses, tmp_path: Path) -> None:
    process = detector_processes[OWN]
    process.run(torchvision_models.write, SSDLITE, tmp_path / "whole.pth", "whole model")

    with pytest.raises(ModelUnusable, match="holds more than weights"):
        process.run(add, arguments(tmp_path / "whole.pth"))


def test_files_outside_of_the_catalogues_folder_have_absolute_paths(
    detector_processes: DetectorProcesses, tmp_path: Path
) -> None:
    process = detector_processes["pytorch"]
    process.run(tiny_models.write, "pt2", tmp_path / "model.pt2")
    (tmp_path / "labels.txt").write_text("red\ngreen\nblue\n")
    (tmp_path / "below").mkdir()
    catalogue = tmp_path / "below" / "mine.toml"

    made = process.run(
        add, arguments(tmp_path / "model.pt2", catalogue=[catalogue], labels=str(tmp_path / "labels.txt"))
    )

    assert f'file = "{tmp_path}/model.pt2"' in made["entry"]
    assert f'labels = "{tmp_path}/labels.txt"' in made["entry"]
    assert Catalogue.load(catalogue).get("tiny").labels == ("red", "green", "blue")
