"""The bundled model, compiled once for several modules, and the measurements that are printed at the end."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.settings import ROOT
from tests.conftest import require_compiler, require_libtorch

Measured = dict[str, str]
MEASURED = pytest.StashKey[Measured]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[MEASURED] = {}


@pytest.fixture(scope="session")
def measured(pytestconfig: pytest.Config) -> Measured:
    """Name of a measurement -> its value; printed at the end."""
    return pytestconfig.stash[MEASURED]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if figures := config.stash[MEASURED]:
        terminalreporter.section("measured")
        for what, figure in figures.items():
            terminalreporter.write_line(f"{what:<60}{figure:>10}")


@pytest.fixture(scope="session")
def with_libtorch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled catalogue, with `cards-libtorch` in it."""
    require_libtorch()
    require_compiler()
    catalogue = tmp_path_factory.mktemp("compiled") / "weights" / "catalogue.toml"
    shutil.copytree(ROOT / "weights", catalogue.parent)
    arguments = ["cards-pytorch", "--runtime", "libtorch", "--as", "cards-libtorch", "--catalogue", str(catalogue)]
    subprocess.run([sys.executable, "-m", "detectors.onboarding.compile", *arguments], check=True)
    return catalogue
