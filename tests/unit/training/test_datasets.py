import json
import math
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageOps

from training.boxes import Box
from training.data.coco import write_coco
from training.data.datasets import DatasetUnusable, Example, read

Object = tuple[str, float, float, float, float]


def picture(path: Path, size: tuple[int, int] = (200, 100), turn: int = 1) -> Path:
    exif = Image.Exif()
    exif[0x0112] = turn
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "white").save(path, exif=exif)
    return path


def voc(path: Path, *objects: Object, size: tuple[int, int] | None = None, filename: str = "") -> None:
    found = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
        "</bndbox></object>"
        for name, x1, y1, x2, y2 in objects
    )
    written_size = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<annotation><filename>{filename}</filename>{written_size}{found}</annotation>")


def coco(path: Path, images: list[dict[str, Any]], annotations: list[dict[str, Any]], *names: str) -> None:
    """`names` have the category ids 10, 9, 8 …"""
    categories = [{"id": 10 - number, "name": name} for number, name in enumerate(names)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))


def test_voc_files_beside_the_pictures_are_read(tmp_path: Path) -> None:
    picture(tmp_path / "b.png")
    picture(tmp_path / "a.JPG", (80, 60))
    voc(tmp_path / "b.xml", ("tree", 10, 20, 60, 70), ("car", 0, 0, 5, 5), size=(200, 100))
    voc(tmp_path / "a.xml", ("car", 1, 2, 3, 4), size=(0, 0))

    dataset = read(tmp_path)

    assert dataset.labels == ("car", "tree")
    assert dataset.skipped == []
    known = frozenset({"car", "tree"})
    assert dataset.examples == [
        Example(tmp_path / "a.JPG", 80, 60, (Box("car", 1, 2, 3, 4),), known),
        Example(tmp_path / "b.png", 200, 100, (Box("tree", 10, 20, 60, 70), Box("car", 0, 0, 5, 5)), known),
    ]


@pytest.mark.parametrize("root", ["", "VOC2012"])
def test_a_voc_devkit_is_read(tmp_path: Path, root: str) -> None:
    file = picture(tmp_path / root / "JPEGImages" / "street.jpg")
    voc(tmp_path / root / "Annotations" / "1.xml", ("car", 1, 2, 3, 4), filename="street.jpg")

    assert [(one.file, one.boxes) for one in read(tmp_path).examples] == [(file, (Box("car", 1, 2, 3, 4),))]


def test_a_copied_annotation_belongs_to_the_picture_beside_it(tmp_path: Path) -> None:
    for name in ("a", "b"):
        picture(tmp_path / f"{name}.png")
        voc(tmp_path / f"{name}.xml", (name, 1, 2, 30, 40), filename="a.png")

    assert [[box.label for box in one.boxes] for one in read(tmp_path).examples] == [["a"], ["b"]]


def test_coco_labels_have_ids_and_boxes_have_width_and_height(tmp_path: Path) -> None:
    file = picture(tmp_path / "images" / "a.png")
    image = {"id": 7, "file_name": "somewhere/else/a.png", "width": 200, "height": 100}
    boxes = [
        {"image_id": 7, "category_id": 10, "bbox": [10, 20, 30, 40]},
        {"image_id": 7, "category_id": 9, "bbox": [50, 50, 100, 50], "iscrowd": 1},
    ]
    coco(tmp_path / "annotations" / "instances.json", [image], boxes, "tree", "car")

    dataset = read(tmp_path)

    assert dataset.labels == ("car", "tree")
    assert dataset.skipped == []
    assert dataset.examples == [
        Example(
            file,
            200,
            100,
            (Box("tree", 10, 20, 40, 60),),
            frozenset({"car", "tree"}),
            unclear=(Box("car", 50, 50, 150, 100),),
        )
    ]


def test_a_picture_that_is_listed_twice_is_one_example(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    images = [{"id": 1, "file_name": "a.png"}, {"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "./a.png"}]
    boxes = [
        {"image_id": 1, "category_id": 10, "bbox": [0, 0, 10, 10]},
        {"image_id": 2, "category_id": 10, "bbox": [0, 0, 10, 10]},
        {"image_id": 2, "category_id": 10, "bbox": [20, 0, 10, 10]},
    ]
    coco(tmp_path / "all.json", images, boxes, "car")

    (example,) = read(tmp_path).examples

    assert example.boxes == (Box("car", 0, 0, 10, 10), Box("car", 20, 0, 30, 10))


def test_unusable_annotations_are_listed_and_left_out(tmp_path: Path) -> None:
    for name in ("good", "other-size"):
        picture(tmp_path / f"{name}.png")
        voc(tmp_path / f"{name}.xml", ("car", 10, 10, 60, 30), size=(200, 100) if name == "good" else (400, 200))
    (tmp_path / "broken.xml").write_text("<annotation>")
    voc(tmp_path / "alone.xml", ("car", 10, 10, 60, 30))
    voc(tmp_path / "torn.xml", ("car", 10, 10, 60, 30))
    (tmp_path / "torn.png").write_bytes((tmp_path / "good.png").read_bytes()[:60])
    (tmp_path / "build.xml").write_text("<project/>")  # not an annotation at all

    dataset = read(tmp_path)

    assert [example.file.name for example in dataset.examples] == ["good.png"]
    assert sorted(line.split(":")[0] for line in dataset.skipped) == [
        "alone.xml",
        "broken.xml",
        "other-size.png",
        "torn.png",
    ]


@pytest.mark.parametrize(
    ("corners", "kept", "unclear", "named"),
    [
        ((10, 10, 10, 30), [], [], True),
        ((10, 30, 60, 10), [], [], True),
        ((math.nan, 10, 60, 30), [], [], True),
        ((10, 10, math.nan, 30), [], [], True),
        ((210, 10, 260, 30), [], [], True),
        ((-10, 10, 60, 130), [(0, 10, 60, 100)], [], False),
        ((-60, 10, 40, 30), [], [(0, 10, 40, 30)], True),
    ],
)
def test_boxes_are_clipped_to_the_picture_or_left_out(
    tmp_path: Path, corners: tuple[float, float, float, float], kept: list[Any], unclear: list[Any], named: bool
) -> None:
    picture(tmp_path / "a.png", (200, 100))
    voc(tmp_path / "a.xml", ("car", *corners))

    dataset = read(tmp_path)

    (example,) = dataset.examples
    assert list(example.boxes) == [Box("car", *box) for box in kept]
    assert list(example.unclear) == [Box("car", *box) for box in unclear]
    assert [line.startswith("a.xml: box 1 (car)") for line in dataset.skipped] == [True] * named


def test_a_box_with_an_unknown_label_is_unclear(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    voc(tmp_path / "a.xml", ("car", 0, 0, 10, 10), ("\\", 20, 0, 30, 10), ("\\", 40, 0, 50, 10), ("tree", 0, 50, 9, 60))

    found = read(tmp_path)
    wanted = read(tmp_path, ["car", "ship"])

    assert found.labels == ("car", "tree")
    assert found.examples[0].unclear == (Box("\\", 20, 0, 30, 10), Box("\\", 40, 0, 50, 10))
    assert found.skipped == ["a.xml: 2 boxes have the unknown label '\\\\'."]
    assert [box.label for box in wanted.examples[0].unclear] == ["\\", "\\", "tree"]
    assert wanted.skipped[1:] == ["a.xml: 1 box has the unknown label 'tree'."]


def test_a_wanted_label_counts_as_annotated_if_a_box_of_the_folder_has_it(tmp_path: Path) -> None:
    for name, label in (("a", "car"), ("b", "tree")):
        picture(tmp_path / f"{name}.png")
        voc(tmp_path / f"{name}.xml", (label, 0, 0, 10, 10))

    dataset = read(tmp_path, ["ship", "tree", "car"])

    assert dataset.labels == ("ship", "tree", "car")
    assert [example.known for example in dataset.examples] == [frozenset({"tree", "car"})] * 2


@pytest.mark.parametrize("turn", [5, 6, 7, 8])
def test_boxes_of_the_stored_picture_turn_with_it(tmp_path: Path, turn: int) -> None:
    # Stored lying, 80 × 40, with a black rectangle; a person sees it upright, 40 × 80.
    stored = Image.new("L", (80, 40), 255)
    stored.paste(0, (8, 16, 32, 24))
    exif = Image.Exif()
    exif[0x0112] = turn
    stored.save(tmp_path / "a.png", exif=exif)
    voc(tmp_path / "a.xml", ("car", 8, 16, 32, 24), size=(80, 40))

    (example,) = read(tmp_path).examples

    with Image.open(tmp_path / "a.png") as image:
        upright = ImageOps.exif_transpose(image)
    assert (example.width, example.height) == upright.size == (40, 80)
    assert example.boxes == (Box("car", *map(float, ImageChops.invert(upright).getbbox())),)


def test_boxes_that_were_drawn_upright_are_kept_for_a_turned_picture(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg", (80, 40), turn=6)
    voc(tmp_path / "a.xml", ("car", 8, 16, 32, 70), size=(40, 80))

    (example,) = read(tmp_path).examples

    assert example.boxes == (Box("car", 8, 16, 32, 70),)


def test_json_that_is_not_in_cocos_format_is_listed(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    coco(tmp_path / "good.json", [{"id": 1, "file_name": "a.png"}], [], "car")
    coco(tmp_path / "odd.json", [{"file_name": "a.png"}], [], "car")
    coco(tmp_path / "stray.json", [], [{"image_id": 5, "category_id": 10, "bbox": [0, 0, 9, 9]}], "car")
    (tmp_path / "torn.json").write_text("{")
    (tmp_path / "other.json").write_text("[]")  # not an annotation at all

    dataset = read(tmp_path)

    assert [example.boxes for example in dataset.examples] == [()]
    assert [line.split(":")[0] for line in dataset.skipped] == ["odd.json", "stray.json", "torn.json"]


@pytest.mark.parametrize("content", ["nothing", "no folder", "both", "no picture"])
def test_an_unusable_folder_is_refused_with_one_message(tmp_path: Path, content: str) -> None:
    folder = tmp_path / "data"
    if content != "no folder":
        folder.mkdir()
    if content in ("both", "no picture"):
        voc(folder / "a.xml", ("car", 0, 0, 10, 10))
    if content == "both":
        coco(folder / "a.json", [], [], "car")

    with pytest.raises(DatasetUnusable, match=r"data.*\."):
        read(folder)


def test_a_written_coco_dataset_is_read_back(tmp_path: Path) -> None:
    file = picture(tmp_path / "deep" / "a.png")
    known = frozenset({"tree", "car"})
    example = Example(file, 200, 100, (Box("car", 1, 2, 30, 40),), known, (Box("tree", 50, 50, 60, 60),))

    written = write_coco(tmp_path, [example], ["tree", "car"])
    dataset = read(tmp_path)

    assert json.loads(written.read_text())["categories"] == [{"id": 1, "name": "tree"}, {"id": 2, "name": "car"}]
    assert dataset.labels == ("tree", "car")
    assert dataset.examples == [example]
