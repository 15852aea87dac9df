"""Weights are taken from every usual kind of checkpoint, and what was taken is told; what is unclear is refused."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from detectors.catalogue import Catalogue
from detectors.errors import ModelUnusable
from detectors.onboarding.add import add
from tests import torchvision_models
from tests.detector_process import DetectorProcess, modules
from tests.unit.detectors.onboarding.test_add import SSDLITE, arguments

MODEL = "The names of the weights were taken without {}"


@pytest.fixture(scope="module")
def process() -> Iterator[DetectorProcess]:
    process = DetectorProcess()
    yield process
    process.close()


@pytest.mark.parametrize(
    ("kind", "notes"),
    [
        ("safetensors", []),
        ("net", ["The weights were taken from net in the checkpoint."]),
        ("averaged", ["The weights were taken from ema.module in the checkpoint.", "The checkpoint also has model."]),
        ("compiled", [MODEL.format("_orig_mod.")]),
        ("nested", ["The weights were taken from state_dict in the checkpoint.", MODEL.format("model.detector.")]),
        ("stochastic averages", [MODEL.format("module.")]),
        (
            "with a criterion",
            [
                "The weights were taken from state_dict in the checkpoint.",
                "The weights of criterion were left out: they do not belong to model.",
                MODEL.format("model."),
            ],
        ),
    ],
)
def test_the_right_weights_are_taken(process: DetectorProcess, tmp_path: Path, kind: str, notes: list[str]) -> None:
    file = tmp_path / "weights.pth"
    process.run(torchvision_models.write_checkpoint, kind, SSDLITE, file)

    assert process.run(torchvision_models.read, SSDLITE, file) == (True, tuple(notes))
    assert process.run(add, arguments(file, builder=SSDLITE))["notes"] == notes


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "two",
            r"the weights student, teacher, and nothing says which to take; .*load\(FILE\)\['student'\]",
        ),
        (
            "cut",
            rf"no builder of torchvision; the nearest is {SSDLITE}, but the file lacks head\.\S+, head\.\S+, h",
        ),
        ("other", r"its weights, such as stem\.0\.weight, head\.0\.bias, have none of the names"),
        ("nothing", r"it holds no state dict"),
    ],
)
def test_unclear_weights_are_refused(process: DetectorProcess, tmp_path: Path, kind: str, message: str) -> None:
    file = tmp_path / "weights.pth"
    process.run(torchvision_models.write_checkpoint, kind, SSDLITE, file)

    with pytest.raises(ModelUnusable, match=message):
        process.run(add, arguments(file))

    assert not (tmp_path / "mine.toml").exists()


def test_a_damaged_safetensors_file_is_refused(process: DetectorProcess, tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    process.run(torchvision_models.write_checkpoint, "safetensors", SSDLITE, file)
    file.write_bytes(file.read_bytes()[:5000])

    with pytest.raises(ModelUnusable, match=r"can't be examined: it is a damaged safetensors file: "):
        process.run(add, arguments(file))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["torchscript", "pt2"])
def test_operators_of_torchvision_are_loaded_where_a_program_needs_them(
    process: DetectorProcess, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / "program.pt"
    process.run(torchvision_models.write_with_operators, kind, file)
    fresh = DetectorProcess()
    try:
        fresh.run(add, arguments(file, size=(32, 32), labels="thing"))

        entry = Catalogue.load(tmp_path / "mine.toml").get("tiny")
        [found] = fresh.detect(entry, [np.full((32, 32, 3), 204, np.uint8)])
        assert found.scores.tolist() == pytest.approx([0.8], abs=1e-5)
        assert fresh.run(modules, "torchvision") != []
    finally:
        fresh.close()


@pytest.mark.slow
def test_without_torchvision_the_requirement_is_named(process: DetectorProcess, tmp_path: Path) -> None:
    file = tmp_path / "program.pt"
    process.run(torchvision_models.write_with_operators, "torchscript", file)
    fresh = DetectorProcess()
    try:
        said = fresh.run(torchvision_models.add_without_torchvision, arguments(file, size=(32, 32)))
    finally:
        fresh.close()

    assert said.endswith(
        "it uses operators of torchvision, which is not installed here. Install requirements/pytorch.txt, or build the "
        "image with TORCHVISION=1"
    )
