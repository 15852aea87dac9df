from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detectors.catalogue import Catalogue, ModelEntry
from detectors.onboarding.add import add
from tests.conftest import DetectorProcesses

Add = Callable[..., ModelEntry]


@pytest.fixture
def add_onnx(detector_processes: DetectorProcesses, tmp_path: Path) -> Add:
    """Adds an ONNX model in the process of its runtime, and returns its entry."""

    def run(file: Path, **changes: Any) -> ModelEntry:
        catalogue = tmp_path / "added.toml"
        usual = {
            "catalogue": [catalogue],
            "cache": tmp_path / "cache",
            "device": "cpu",
            "threads": 1,
            "name": "added",
            "labels": None,
            "builder": None,
            "size": None,
            "dry_run": False,
            "replace": True,
        }
        detector_processes["onnx"].run(add, Namespace(file=file, **{**usual, **changes}))
        return Catalogue.load(catalogue).get("added")

    return run
