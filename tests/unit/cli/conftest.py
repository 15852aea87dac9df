"""Runs the commands as a script does: arguments in, an exit code and two streams out."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner, Result

import cli.commands.models
from cli.main import app
from jobs.settings import PREFIX
from tests.conftest import DetectorProcesses
from tests.detector_process import run_module
from tests.unit.cli import fake_service

Boxqueue = Callable[..., Result]


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deletes the settings of the environment that runs the tests."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


@pytest.fixture
def boxqueue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Boxqueue:
    """Runs the command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def boxqueue_in_one_process(detector_processes: DetectorProcesses, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the commands on PyTorch models in one process that has loaded PyTorch, instead of a new one each time."""

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert command[1:3] == ["-P", "-m"]
        done = detector_processes["pytorch"].run(run_module, command[3], command[4:], os.getcwd())
        return subprocess.CompletedProcess(command, *done)

    monkeypatch.setattr(cli.commands.models, "subprocess", SimpleNamespace(run=run))


@pytest.fixture
def service() -> Iterator[fake_service.FakeService]:
    yield from fake_service.running(fake_service.FakeService())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for a test's pictures. Nothing decodes them, so any bytes will do."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder
