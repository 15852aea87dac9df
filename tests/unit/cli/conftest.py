"""The commands as a script sees them: arguments in, an exit code and two streams out."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from jobs.settings import PREFIX
from tests.unit.cli import fake_service

Boxqueue = Callable[..., Result]


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the tester's."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


@pytest.fixture
def boxqueue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Boxqueue:
    """Runs the command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def service() -> Iterator[fake_service.FakeService]:
    yield from fake_service.running()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a test puts pictures. Nobody decodes them here, so any bytes do."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder
