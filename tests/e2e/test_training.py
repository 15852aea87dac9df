"""From a folder of labelled pictures to a model that a running service serves, without a line of code."""

import json
from pathlib import Path

import pytest

from tests.services.environment import environment
from tests.services.processes import output_of
from tests.services.programs import Start, python
from tests.unit.training.conftest import SHAPES, draw_shapes
from training.data.datasets import Example

pytestmark = pytest.mark.slow

VOC = """<annotation><filename>{name}</filename><size><width>{width}</width><height>{height}</height></size>{objects}
</annotation>"""
OBJECT = """<object><name>{label}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>
</bndbox></object>"""


def annotate(example: Example) -> None:
    objects = "".join(
        OBJECT.format(label=box.label, x1=box.x1, y1=box.y1, x2=box.x2, y2=box.y2) for box in example.boxes
    )
    example.file.with_suffix(".xml").write_text(
        VOC.format(name=example.file.name, width=example.width, height=example.height, objects=objects)
    )


@pytest.mark.timeout(1200)
def test_a_model_is_trained_from_a_folder_and_served(tmp_path: Path, start: Start) -> None:
    for example in draw_shapes(tmp_path / "shapes", 10):
        annotate(example)
    (tmp_path / "shapes" / "lost.xml").write_text(VOC.format(name="lost.png", width=9, height=9, objects=""))
    out = tmp_path / "models" / "shapes"

    training = python("training", "--data", str(tmp_path / "shapes"), "--out", str(out), "--steps", "3")
    made = output_of(training, environment(), 800)
    assert made.returncode == 0, made.stdout + made.stderr
    assert "left out: lost.xml" in made.stdout
    assert "8 pictures to learn from, 2 to measure with: disc, square" in made.stdout

    up = start(catalogue=out / "catalogue.toml")
    up.wait_until_up()
    for model in ("shapes-pytorch", "shapes-tensorflow"):
        evaluation = python(
            *("training.evaluate", "--data", str(tmp_path / "shapes"), "--model", model),
            *("--url", up.url, "--json", str(tmp_path / f"{model}.json")),
        )
        measured = output_of(evaluation, environment(), 800)
        assert measured.returncode == 0, measured.stdout + measured.stderr
    one, other = (
        json.loads((tmp_path / f"shapes-{runtime}.json").read_text()) for runtime in ("pytorch", "tensorflow")
    )
    assert [row["label"] for row in one["rows"]] == list(SHAPES)
    assert one["mean"]["ap50"] == pytest.approx(other["mean"]["ap50"], abs=0.02)
    assert up.interrupt() == 0
