"""Runs the commands as a script does: arguments in, an exit code and two streams out."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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


@pytest.fixture
def ingest(boxqueue: Boxqueue, service: fake_service.FakeService, folder: Path) -> Boxqueue:
    return lambda *arguments: boxqueue("ingest", folder, "--model", "cards", "--url", service.url, *arguments)


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the client waits between its tries, which take no time here."""
    waited: list[float] = []
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=waited.append))
    return waited


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"bytes of " + name.encode())


def lines_of(file: Path) -> dict[str, dict[str, Any]]:
    """The lines of a results file, by the source of each."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len({line["source"] for line in lines}) == len(lines)
    return {line["source"]: line for line in lines}
