"""The models of an image: `docker/models.py` in a copy of the build context."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from detectors.catalogue import Catalogue
from detectors.digest import digest_of
from jobs.settings import ROOT
from tests import catalogues


@pytest.fixture
def app(tmp_path: Path) -> Path:
    for package in ("detectors", "docker", "engine", "jobs", "weights"):
        ignored = shutil.ignore_patterns("__pycache__", "build*", "lib", "bin", "*.so")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def place(app: Path, *arguments: str) -> str:
    """Its error message."""
    done = subprocess.run(
        [sys.executable, "docker/models.py", *arguments],
        cwd=app,
        env=os.environ | {"PYTHONPATH": str(app)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode == 0) == (done.stderr == "")
    return done.stderr


def models(app: Path) -> dict[str, bool]:
    """Model -> whether its file exists."""
    entries = Catalogue.load(app / "weights" / "catalogue.toml").entries
    return {name: entry.file.exists() for name, entry in entries.items()}


@pytest.mark.parametrize(
    ("target", "model"),
    [
        ("pytorch", "cards-pytorch"),
        ("saved_model", "cards-tensorflow"),
        ("frozen_graph", "cards-frozen"),
        ("onnx", "cards-onnx"),
    ],
)
def test_a_worker_gets_the_models_of_its_target_and_no_other_file(app: Path, target: str, model: str) -> None:
    assert place(app, "embedded", target) == ""

    assert models(app) == {model: True}
    entry = Catalogue.load(app / "weights" / "catalogue.toml").get(model)
    assert {file.name for file in (app / "weights").iterdir()} == {"README.md", "catalogue.toml", entry.file.name}


def test_the_api_gets_all_entries_and_no_file(app: Path) -> None:
    assert place(app, "embedded") == ""

    assert models(app) == dict.fromkeys(("cards-pytorch", "cards-tensorflow", "cards-frozen", "cards-onnx"), False)


@pytest.mark.parametrize(("target", "left"), [(["remote"], {"cards-remote"}), (["pytorch"], {"cards-pytorch"})])
def test_a_model_on_a_server_has_no_file_to_remove(app: Path, target: list[str], left: set[str]) -> None:
    with (app / "weights" / "catalogue.toml").open("a") as catalogue:
        catalogue.write("\n" + catalogues.text({"cards-remote": catalogues.server_entry("http://models:8080")}))

    assert place(app, "embedded", *target) == ""

    assert models(app).keys() == left
    assert (app / "jobs").is_dir()


def test_model_none_gives_an_empty_catalogue(app: Path) -> None:
    assert place(app, "none", "pytorch") == ""

    assert models(app) == {}


def test_a_folder_of_the_user_replaces_the_bundled_models(app: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(app / "weights", elsewhere)
    (elsewhere / "catalogue.toml").write_text(
        (elsewhere / "catalogue.toml").read_text().replace("[cards-pytorch", "[forms")
    )

    assert place(app, f"file://{elsewhere}@{digest_of(elsewhere)}", "pytorch") == ""

    assert models(app) == {"forms": True}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["embedded", "keras"], "TARGET_API=keras is not known"),
        (["bundled", "pytorch"], "MODEL=bundled is none of"),
        (["file:///nowhere@" + "0" * 64, "pytorch"], "can't be fetched"),
    ],
)
def test_wrong_arguments_end_the_build_with_an_error_message(app: Path, arguments: list[str], complaint: str) -> None:
    assert complaint in place(app, *arguments)


def test_a_model_file_with_another_digest_ends_the_build(app: Path) -> None:
    (app / "weights" / "cards.pt2").write_bytes(b"another")

    assert "has sha256" in place(app, "embedded", "pytorch")
