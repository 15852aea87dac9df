from pathlib import Path

import pytest
import torch
from PIL import Image

from training.data import Example, read_voc, split, targets
from training.layout import LABELS, STRIDE
from training.model import decode
from training.sheet import Box


def annotation(*objects: tuple[str, float, float, float, float]) -> str:
    found = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
        "</bndbox></object>"
        for name, x1, y1, x2, y2 in objects
    )
    return f"<annotation>{found}</annotation>"


def test_what_cannot_be_used_is_named_and_skipped(tmp_path: Path) -> None:
    picture = Image.new("RGB", (200, 100), "white")
    for name in ("good", "odd", "broken"):
        picture.save(tmp_path / f"{name}.png")
    (tmp_path / "good.xml").write_text(annotation(("textbox", 10, 10, 60, 30), ("checkbox", 10, 50, 60, 70)))
    (tmp_path / "odd.xml").write_text(annotation(("textbox", 60, 10, 60, 30), ("\\", 10, 10, 60, 30)))
    (tmp_path / "broken.xml").write_text("<annotation>")
    (tmp_path / "alone.xml").write_text(annotation(("textbox", 10, 10, 60, 30)))
    (tmp_path / "torn.xml").write_text(annotation(("textbox", 10, 10, 60, 30)))
    (tmp_path / "torn.png").write_bytes(b"no picture")

    examples, skipped = read_voc(tmp_path)

    assert [example.name for example in examples] == ["good.png", "odd.png"]
    assert examples[0].boxes == (Box("textbox", 10, 10, 60, 30), Box("checkbox", 10, 50, 60, 70))
    assert examples[1].boxes == ()
    assert [line.split(":")[0] for line in skipped] == ["alone.xml", "broken.xml", "odd.xml", "odd.xml", "torn.png"]


def test_labels_that_nobody_looked_for_count_for_nothing(tmp_path: Path) -> None:
    Image.new("RGB", (96, 96)).save(tmp_path / "a.png")
    (tmp_path / "a.xml").write_text(annotation(("textbox", 10, 10, 60, 30), ("unheard", 0, 48, 96, 96)))

    (example,), _ = read_voc(tmp_path)
    care = targets(example)["care"]

    text, image = LABELS.index("textbox"), LABELS.index("image")
    assert care[text, :48].all()
    assert not care[text, 48:].any()  # something is there, but nobody knows what
    assert not care[image].any()


def test_the_split_is_the_same_for_the_same_seed() -> None:
    examples = [Example(f"{n}.png", Image.new("RGB", (8, 8)), ()) for n in range(10)]

    training, held_out = split(examples, 3, seed=0)

    assert split(examples[::-1], 3, seed=0) == (training, held_out)
    assert len(held_out) == 3
    assert sorted(e.name for e in training + held_out) == sorted(e.name for e in examples)


def test_decoding_the_targets_gives_the_boxes_back() -> None:
    # 768 x 768 pixels: the network sees it at half its size.
    boxes = (Box("textbox", 80, 40, 600, 90), Box("rating", 100, 300, 260, 340), Box("image", 0, 400, 300, 768))
    wanted = targets(Example("card", Image.new("RGB", (768, 768)), boxes))
    logits = torch.logit(wanted["heat"].clamp(0.001, 0.999))[None]
    sides = torch.log(wanted["distances"]).flatten(0, 1)[None]

    found, scores, classes = decode(logits, sides)

    for box in boxes:
        best = int((classes[0] == LABELS.index(box.label)).nonzero()[0, 0])
        assert scores[0, best] == pytest.approx(0.999)
        assert found[0, best].tolist() == pytest.approx(
            [side / 2 for side in (box.x1, box.y1, box.x2, box.y2)], abs=0.5
        )
    assert STRIDE == 4
