"""The table of measurements at the end, and a stack that the image tests share."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomlkit

from jobs.settings import PREFIX, ROOT
from tests import catalogues
from tests.conftest import require_compiler
from tests.images.engine import Stack, image
from tests.images.kinds import KINDS

Table = dict[str, dict[str, str]]
TABLE = pytest.StashKey[Table]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TABLE] = {}


@pytest.fixture(scope="session")
def table(pytestconfig: pytest.Config) -> Table:
    """Image -> column -> measurement; printed at the end."""
    return pytestconfig.stash[TABLE]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash[TABLE]
    if not rows:
        return
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    terminalreporter.section("images")
    for name, row in [("", dict(zip(columns, columns, strict=True))), *sorted(rows.items())]:
        terminalreporter.write_line(f"{name:<20}" + "".join(f"{row.get(column, ''):>28}" for column in columns))


@pytest.fixture(autouse=True, scope="session")
def images() -> None:
    for kind in KINDS:
        found = subprocess.run(["docker", "image", "inspect", image(kind)], capture_output=True, check=False)
        if found.returncode:
            pytest.fail(f"{image(kind)} is missing: `make images` builds it")


REMOTE = {
    "cards-remote": catalogues.server_entry(
        "http://models:8080",
        server={"binary": False},
        labels=["textbox", "radiobutton", "checkbox", "actionset", "image", "rating"],
        input={"name": "image", "width": 512, "height": 512, "layout": "NHWC", "dtype": "uint8"},
        output={"boxes": "boxes", "scores": "scores", "classes": "classes", "floor_score": 0.1},
        defaults={"min_score": 0.4},
    )
}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for /models: the bundled program compiled for worker-libtorch, and a catalogue with this program and the
    model server that `stack` of test_images.py starts."""
    require_compiler()
    folder = tmp_path_factory.mktemp("models")
    # Containers read the folder as another user.
    folder.chmod(0o755)
    shutil.copy(ROOT / "weights" / "cards.pt2", folder)
    catalogue = folder / "catalogue.toml"
    document = tomlkit.parse((ROOT / "weights" / "catalogue.toml").read_text())
    catalogue.write_text(tomlkit.dumps({"cards-pytorch": document["cards-pytorch"]}))
    compiling = [sys.executable, "-m", "cli", "models", "compile", "cards-pytorch"]
    subprocess.run(
        [*compiling, "--runtime", "libtorch", "--as", "cards-libtorch"],
        env=os.environ | {PREFIX + "CATALOGUE": str(catalogue)},
        cwd=ROOT,
        check=True,
        timeout=900,
    )
    made = tomlkit.parse(catalogue.read_text())
    catalogue.write_text(tomlkit.dumps({"cards-libtorch": made["cards-libtorch"]}) + "\n" + catalogues.text(REMOTE))
    for file in folder.iterdir():
        file.chmod(0o644)
    return folder


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Compose project that has not started yet."""
    with Stack(tmp_path_factory.mktemp("models")) as stack:
        yield stack
