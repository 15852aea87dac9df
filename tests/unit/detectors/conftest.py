"""A compiled model for several modules: compiling takes a while."""

from pathlib import Path

import pytest

from tests import tiny_models
from tests.conftest import DetectorProcesses


@pytest.fixture(scope="session")
def tiny_package(detector_processes: DetectorProcesses, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as an AOTInductor package."""
    file = tmp_path_factory.mktemp("package") / "tiny.aotinductor"
    detector_processes["pytorch"].run(tiny_models.write, "aotinductor", file)
    return file


@pytest.fixture(scope="session")
def heic() -> Path:
    """The folder of `turn1.heic` to `turn8.heic`: the same upright picture, stored with each orientation."""
    return Path(__file__).parents[2] / "pictures"
