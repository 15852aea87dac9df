"""`boxqueue models check` and `compile` on a tiny model, as a user runs them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detectors.catalogue import Catalogue
from detectors.digest import digest_of
from detectors.errors import CatalogueError, ModelUnusable, UnknownModel
from detectors.onboarding.check import check
from detectors.onboarding.edit_catalogue import copy_entry, find_catalogue
from tests import tiny_models
from tests.conftest import DetectorProcesses
from tests.unit.cli.conftest import Boxqueue

ENTRY = """# Mine.
[tiny] # the smallest
runtime = "pytorch"
format = "pt2"
file = "tiny.pt2"
sha256 = "{sha256}"
labels = ["red", "green", "blue"]
batch_size = 2
input = {{ width = 32, height = 32, layout = "NHWC", dtype = "uint8" }}

[tiny.defaults]
min_score = 0.5
"""


@pytest.fixture
def catalogue(detector_processes: DetectorProcesses, tmp_path: Path) -> Path:
    file = tmp_path / "tiny.pt2"
    detector_processes["pytorch"].run(tiny_models.write, "pt2", file)
    path = tmp_path / "mine.toml"
    path.write_text(ENTRY.format(sha256=digest_of(file)))
    return path


@pytest.fixture
def boxqueue_in_new_processes(catalogue: Path, boxqueue: Boxqueue, monkeypatch: pytest.MonkeyPatch) -> Boxqueue:
    """The command with that catalogue, and a new process for each model."""
    monkeypatch.setenv("BOXQUEUE_CATALOGUE", str(catalogue))
    return boxqueue


@pytest.fixture
def boxqueue_here(boxqueue_in_new_processes: Boxqueue, boxqueue_in_one_process: None) -> Boxqueue:
    """The same with one process for all models, which is faster."""
    return boxqueue_in_new_processes


def test_check_shows_and_draws_the_detections_of_a_request(boxqueue_in_new_processes: Boxqueue, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), (204, 102, 0)).save(tmp_path / "red.jpg", quality=100, subsampling=0)

    options = ("--picture", tmp_path / "red.jpg", "--output", tmp_path / "drawn", "--json")
    done = boxqueue_in_new_processes("models", "check", "tiny", *options)

    found = json.loads(done.stdout)
    assert done.exit_code == 0
    assert [(one["label"], one["class_id"]) for one in found["detections"]] == [("red", 0)]
    assert found["detections"][0]["score"] == pytest.approx(0.8, abs=0.01)
    assert found["detections"][0]["box"] == [8, 16, 40, 48]
    assert found["input"] == "uint8 1 × 32 × 32 × 3"
    assert found["outputs"] == {"0": "float32 1 × 3 × 4", "1": "float32 1 × 3", "2": "int64 1 × 3"}
    assert 0 < found["alone_ms"] < found["load_ms"] + found["warm_up_ms"]
    drawn = np.asarray(Image.open(tmp_path / "drawn.jpeg").convert("RGB")).astype(int)
    assert found["drawn"] == str(tmp_path / "drawn.jpeg")
    assert (abs(drawn - (204, 102, 0)).sum(axis=2) > 60).any()


def test_check_without_a_picture_shows_only_times(boxqueue_here: Boxqueue) -> None:
    done = boxqueue_here("models", "check", "tiny")

    assert done.exit_code == 0
    assert "in batches of 2" in done.stdout
    assert "score" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["other"], "unknown_model: There is no model named 'other'. Known models: tiny."),
        (["tiny", "--picture", "none.png"], "none.png can't be read: No such file or directory"),
        (["tiny", "--picture", "mine.toml"], "picture_unknown_format: "),
    ],
)
def test_a_failed_check_gives_an_error_message(boxqueue_here: Boxqueue, arguments: list[str], sentence: str) -> None:
    done = boxqueue_here("models", "check", *arguments)

    assert done.exit_code == 1
    assert sentence in done.stderr


def test_a_file_with_another_digest_is_not_run(boxqueue_here: Boxqueue, tmp_path: Path) -> None:
    (tmp_path / "tiny.pt2").write_bytes(b"something else")

    done = boxqueue_here("models", "check", "tiny")

    assert done.exit_code == 1
    assert "model_unusable: Model tiny: " in done.stderr
    assert "but the catalogue says" in done.stderr


@pytest.mark.compiler
def test_a_compiled_model_is_added_beside_the_original_and_finds_the_same(
    boxqueue_in_new_processes: Boxqueue, catalogue: Path
) -> None:
    picture = catalogue.parent / "red.png"
    Image.new("RGB", (64, 64), (204, 102, 0)).save(picture)

    made = boxqueue_in_new_processes("models", "compile", "tiny", "--portable")

    assert made.exit_code == 0, made.stderr
    text = catalogue.read_text()
    assert text.startswith(ENTRY.format(sha256=digest_of(catalogue.parent / "tiny.pt2")))
    entries = Catalogue.load(catalogue).entries
    assert entries["tiny-compiled"].format == "aotinductor"
    assert entries["tiny-compiled"].defaults.min_score == 0.5
    one, other = (
        json.loads(boxqueue_in_new_processes("models", "check", name, "--picture", picture, "--json").stdout)[
            "detections"
        ]
        for name in ("tiny", "tiny-compiled")
    )
    assert one == other
    assert one


@pytest.mark.compiler
def test_a_compiled_model_may_be_for_the_workers_of_libtorch(boxqueue_here: Boxqueue, catalogue: Path) -> None:
    made = boxqueue_here("models", "compile", "tiny", "--runtime", "libtorch", "--as", "tiny-libtorch")

    assert made.exit_code == 0, made.stderr
    entry = Catalogue.load(catalogue).entries["tiny-libtorch"]
    assert (entry.runtime, entry.format) == ("libtorch", "aotinductor")


def test_a_second_compiled_model_needs_another_name(boxqueue_here: Boxqueue, catalogue: Path) -> None:
    copy_entry(catalogue, "tiny", "tiny-compiled", {})

    done = boxqueue_here("models", "compile", "tiny")

    assert done.exit_code == 1
    assert "--as NAME" in done.stderr
    assert not (catalogue.parent / "tiny-compiled.pt2").exists()


def test_an_entry_is_found_in_the_catalogue_that_has_it(catalogue: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text("[another]\n")

    assert find_catalogue("tiny", [other, catalogue]) == catalogue
    with pytest.raises(UnknownModel, match="another, tiny"):
        find_catalogue("none", [other, catalogue])
    with pytest.raises(CatalogueError, match="already"):
        copy_entry(catalogue, "tiny", "tiny", {})


def test_an_unknown_runtime_is_named(catalogue: Path) -> None:
    entry = Catalogue.load(catalogue).entries["tiny"].model_copy(update={"runtime": "paper"})

    with pytest.raises(ModelUnusable, match="no runtime 'paper'; there are "):
        check(entry, "cpu", 1, None, None)
