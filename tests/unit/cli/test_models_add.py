"""`boxqueue models add` on a tiny model, as a user runs it: the catalogue that gets the entry, and the messages."""

import tomllib
from pathlib import Path

import pytest

from detectors.catalogue import Catalogue
from jobs.settings import ROOT
from tests import tiny_models
from tests.conftest import DetectorProcesses
from tests.unit.cli.conftest import Boxqueue

EXISTING = '# Mine.\n[other] # as it was\nruntime = "pytorch"\nformat = "pt2"\nfile = "o.pt2"\nlabels = ["a"]\n'
LABELS = ("--labels", "red,green,blue")
REST = f'sha256 = "{"0" * 64}"\ninput = {{ width = 32, height = 32 }}\n'


@pytest.fixture
def model(detector_processes: DetectorProcesses, tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    file = tmp_path / "models" / "tiny.pt2"
    detector_processes["pytorch"].run(tiny_models.write, "pt2", file)
    return file


@pytest.fixture
def boxqueue_here(boxqueue: Boxqueue, boxqueue_in_one_process: None) -> Boxqueue:
    """The command, with one process for all models, which is faster."""
    return boxqueue


@pytest.fixture
def existing(tmp_path: Path) -> Path:
    """A catalogue that already has an entry."""
    path = tmp_path / "existing.toml"
    path.write_text(EXISTING + f'sha256 = "{"0" * 64}"\ninput = {{ width = 32, height = 32 }}\n')
    path.chmod(0o640)
    return path


def test_without_a_catalogue_one_is_written_beside_the_model(boxqueue: Boxqueue, model: Path) -> None:
    done = boxqueue("models", "add", "models/tiny.pt2", *LABELS)

    assert done.exit_code == 0, done.stderr
    catalogue = model.parent / "catalogue.toml"
    assert done.stdout == catalogue.read_text()
    assert Catalogue.load(catalogue).get("tiny").file == model
    assert "BOXQUEUE_CATALOGUE=models/catalogue.toml boxqueue models check tiny --picture" in done.stderr
    checked = boxqueue("models", "add", "models/tiny.pt2", *LABELS)
    assert checked.exit_code == 1
    assert "There is already a model tiny. Choose another name, --name NAME, or" in checked.stderr


def test_the_entry_is_appended_to_the_configured_catalogue(
    boxqueue_here: Boxqueue, model: Path, existing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOXQUEUE_CATALOGUE", str(existing))
    before = existing.read_text()

    done = boxqueue_here("models", "add", model, *LABELS, "--name", "mine")

    assert done.exit_code == 0, done.stderr
    assert existing.read_text() == f"{before}\n{done.stdout}"
    assert existing.stat().st_mode & 0o777 == 0o640
    assert tomllib.loads(done.stdout)["mine"]["file"] == "models/tiny.pt2"
    assert "Try it: boxqueue models check mine" in done.stderr


def test_a_dry_run_writes_nothing(boxqueue_here: Boxqueue, model: Path) -> None:
    done = boxqueue_here("models", "add", model, *LABELS, "--dry-run")

    assert done.exit_code == 0, done.stderr
    assert list(tomllib.loads(done.stdout)) == ["tiny"]
    assert [path.name for path in model.parent.iterdir()] == ["tiny.pt2"]


def test_several_catalogues_need_a_choice_and_a_new_name(
    boxqueue_here: Boxqueue, model: Path, existing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOXQUEUE_CATALOGUE", f"{existing},new.toml")

    assert boxqueue_here("models", "add", model, *LABELS).exit_code == 2
    taken = boxqueue_here("models", "add", model, *LABELS, "--catalogue", "new.toml", "--name", "other")

    assert taken.exit_code == 1
    assert "There is already a model other" in taken.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            [ROOT / "weights" / "cards.pt2", *LABELS],
            "is the bundled catalogue. Name it, or another one, with --catalogue",
        ),
        (
            ["any.pt", *LABELS, "--size", "640"],
            "--size must be a width and a height in pixels, such as 640x480, not 640.",
        ),
    ],
)
def test_wrong_usage_is_reported_before_anything_is_loaded(
    boxqueue_here: Boxqueue, arguments: list[object], sentence: str
) -> None:
    done = boxqueue_here("models", "add", *arguments)

    assert done.exit_code == 2
    assert sentence in done.stderr


def test_replace_changes_one_entry_and_nothing_else(
    boxqueue_here: Boxqueue, model: Path, existing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOXQUEUE_CATALOGUE", str(existing))
    assert boxqueue_here("models", "add", model, *LABELS, "--name", "mine").exit_code == 0
    existing.write_text(existing.read_text() + "\n[last] # as it was\n" + EXISTING.split("\n", 2)[2] + REST)

    done = boxqueue_here("models", "add", model, "--labels", "a,b,c", "--name", "mine", "--replace")

    assert done.exit_code == 0, done.stderr
    text = existing.read_text()
    assert Catalogue.load(existing).get("mine").labels == ("a", "b", "c")
    assert text.startswith(EXISTING)
    assert "[last] # as it was" in text
    assert list(tomllib.loads(text)) == ["other", "mine", "last"]


def test_a_model_that_cannot_be_added_replaces_nothing(
    boxqueue_here: Boxqueue, model: Path, existing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOXQUEUE_CATALOGUE", str(existing))
    before = existing.read_text()
    model.write_bytes(b"no model")

    done = boxqueue_here("models", "add", model, *LABELS, "--name", "other", "--replace")

    assert done.exit_code == 1
    assert existing.read_text() == before


def test_replace_does_not_reach_into_another_catalogue(
    boxqueue_here: Boxqueue, model: Path, existing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOXQUEUE_CATALOGUE", f"{existing},{existing.parent / 'second.toml'}")
    (existing.parent / "second.toml").write_text("")
    target = ("--catalogue", existing.parent / "second.toml")

    done = boxqueue_here("models", "add", model, *LABELS, "--name", "other", "--replace", *target)

    assert done.exit_code == 1
    assert f"There is already a model other, in {existing}. Choose another name: --name NAME." in done.stderr
