"""The models of a function, which TARGET_API selects."""

from pathlib import Path
from typing import Any

import pytest

from detectors.base import Detector
from detectors.errors import ModelUnusable
from jobs.errors import ConfigurationError
from jobs.settings import ROOT, Settings
from serverless.detection import Detection
from tests import catalogues
from tests.conftest import DetectorProcesses
from tests.detector_process import modules
from tests.fake_model_server import FakeModelServer


def answer(target: str, data: Path) -> dict[str, Any]:
    detection = Detection(Settings(data=data, device="cpu", threads=1), target)
    return detection.answer((ROOT / "samples" / "lunch-poll.png").read_bytes())


@pytest.mark.parametrize(
    ("target", "runtime", "model"),
    [
        ("pytorch", "pytorch", "cards-pytorch"),
        ("saved_model", "tensorflow", "cards-tensorflow"),
        ("frozen_graph", "tensorflow", "cards-frozen"),
        ("onnx", "onnx", "cards-onnx"),
    ],
)
def test_target_api_selects_the_runtime_and_the_model(
    detector_processes: DetectorProcesses, tmp_path: Path, target: str, runtime: str, model: str
) -> None:
    process = detector_processes[runtime]

    job = process.run(answer, target, tmp_path)

    assert (job["status"], job["model"], job["device"]) == ("succeeded", model, "cpu")
    assert "actionset" in {found["label"] for found in job["detections"]}
    others = {
        "pytorch": ("tensorflow", "onnxruntime"),
        "tensorflow": ("torch", "onnxruntime"),
        "onnx": ("torch", "tensorflow"),
    }
    assert [process.run(modules, other) for other in others[runtime]] == [[], []]


@pytest.mark.parametrize(
    ("target", "error", "sentence"),
    [
        ("keras", ConfigurationError, "TARGET_API: 'keras' is none of pytorch, saved_model, frozen_graph"),
        ("saved_model", ConfigurationError, "has no model for TARGET_API=saved_model"),
        ("pytorch", ModelUnusable, "cards.pt2 can't be read"),
    ],
)
def test_a_target_that_cannot_be_served_is_refused_at_the_start(
    catalogue: Path, tmp_path: Path, target: str, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        Detection(Settings(data=tmp_path, catalogue=(catalogue,)), target)


def test_the_least_recently_used_model_is_unloaded(tmp_path: Path, server: FakeModelServer) -> None:
    models = {name: catalogues.server_entry(server.url) for name in ("one", "two", "three")}
    catalogue = catalogues.write(tmp_path / "catalogue.toml", models)
    detection = Detection(Settings(data=tmp_path, catalogue=(catalogue,), models_in_memory=2), "remote")

    def detector(name: str) -> Detector:
        with detection.models.detector(detection.models.entry(name)) as loaded:
            return loaded

    first = {name: detector(name) for name in ("one", "two")}
    assert detector("one") is first["one"]
    detector("three")

    assert detector("one") is first["one"]
    assert detector("two") is not first["two"]
    detection.close()


def test_a_database_needs_a_shared_image_store(catalogue: Path, tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, catalogue=(catalogue,), database_url="postgresql://db/boxqueue")

    with pytest.raises(ConfigurationError, match=r"^BOXQUEUE_STORE_URL: "):
        Detection(settings, "remote")


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, catalogue: Path, tmp_path: Path) -> None:
    monkeypatch.setenv("TARGET_API", "remote")
    monkeypatch.setenv("BOXQUEUE_CATALOGUE", str(catalogue))
    monkeypatch.setenv("BOXQUEUE_DATA", str(tmp_path))

    detection = Detection.from_environment()

    assert (detection.models.entry(None).name, detection.stored) == ("distant", False)
