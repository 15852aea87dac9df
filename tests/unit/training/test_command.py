"""Errors of `python -m training` before it starts to train."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.training.conftest import SHAPES, draw_shapes
from training import command_line
from training.__main__ import _split, main
from training.catalogue_entries import FORMATS, Description, catalogue_text
from training.data.coco import write_coco


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_coco(tmp_path / "shapes", draw_shapes(tmp_path / "shapes", 3), SHAPES)
    return tmp_path / "shapes"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--name", "my parts"), "is not a valid name"),
        (("--name", "a/b"), "is not a valid name"),
        (("--steps", "0"), "at least 1"),
        (("--threads", "-1"), "at least 1"),
        (("--held-out", "1"), "from 0 to 0.9"),
        (("--held-out", "nan"), "from 0 to 0.9"),
        (("--device", "tpu"), "has no device tpu"),
    ],
)
def test_invalid_options_are_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--data", str(data), "--out", str(tmp_path / "out"), *arguments])

    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_folder_with_the_catalogue_of_another_model_is_not_changed(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    there = catalogue_text(Description("shapes-old", ("disc",)), ["a" * 64] * len(FORMATS))
    (out / "catalogue.toml").write_text(there)

    assert main(["--data", str(data), "--out", str(out)]) == 1

    assert "lists other models (shapes-old-frozen" in capsys.readouterr().err
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [("catalogue.toml", there)]


def test_a_folder_without_boxes_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_coco(
        tmp_path / "empty", [replace(example, boxes=()) for example in draw_shapes(tmp_path / "empty", 2)], SHAPES
    )

    assert main(["--data", str(tmp_path / "empty"), "--out", str(tmp_path / "out")]) == 1

    assert "has no box to learn from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("pictures", "share", "held"), [(1, 0.9, 0), (2, 0.2, 0), (5, 0.2, 1), (10, 0.9, 9), (10, 0.0, 0)]
)
def test_some_examples_always_remain_for_training(tmp_path: Path, pictures: int, share: float, held: int) -> None:
    examples = draw_shapes(tmp_path, pictures)

    learnt, measured = _split(examples, share)

    assert len(measured) == held
    assert sorted(example.file for example in learnt + measured) == [example.file for example in examples]


def test_a_missing_package_ends_a_command_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pycocotools" else object())

    with pytest.raises(SystemExit) as ended:
        importlib.reload(command_line)

    assert ended.value.code == (
        "Training and evaluation need requirements/training.txt (pycocotools missing): run `make .venv/training`."
    )
