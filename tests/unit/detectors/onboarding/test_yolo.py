"""Models of the YOLO family are recognised by their one output; what is no model for boxes is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detectors.errors import CatalogueError, ModelUnusable
from tests import onnx_models
from tests.conftest import DetectorProcesses
from tests.unit.detectors.onboarding.conftest import Add

SIDE = 64
STRIDES = (8, 16, 32)
CELLS = sum((SIDE // stride) ** 2 for stride in STRIDES)
LABELS = ["cat", "dog", "bird"]
NAMES = {"names": "{0: 'cat', 1: 'dog', 2: 'bird'}", "task": "detect", "imgsz": "[64, 64]", "stride": "32"}
FOUND = 9
"""The cell in which the model finds something: the second of the second row of the smallest cells."""


def grid(anchors: int = 1) -> np.ndarray:
    """The boxes of all cells as centres and sizes in pixels."""
    boxes = []
    for stride in STRIDES:
        y, x = np.mgrid[0 : SIDE // stride, 0 : SIDE // stride]
        cells = np.stack([x.ravel(), y.ravel()], axis=1) * stride + stride / 2
        boxes.append(np.tile(np.concatenate([cells, np.full_like(cells, stride)], axis=1), (anchors, 1)))
    return np.concatenate(boxes).astype(np.float32)


def rows(*, objectness: float | None = None, anchors: int = 1) -> np.ndarray:
    """Boxes, and the scores of three classes: the cell `FOUND` has a dog."""
    boxes = grid(anchors)
    scores = np.full((len(boxes), len(LABELS)), 0.01, np.float32)
    scores[FOUND, 1] = 0.8
    parts = [boxes, scores]
    if objectness is not None:
        parts.insert(1, np.full((len(boxes), 1), objectness, np.float32))
    return np.concatenate(parts, axis=1)


def finished(columns: int = 6) -> np.ndarray:
    """Finished detections, of which one counts."""
    found = np.zeros((300, columns), np.float32)
    found[0, :6] = [8, 8, 16, 16, 0.8, 1]
    return found


ULTRALYTICS = {"transposed": True, "columns": {"boxes": (0, 4), "class_scores": (4, 7)}, "nms": 0.7}
WITH_OBJECTNESS = {"columns": {"boxes": (0, 4), "class_scores": (5, 8), "objectness": 4}, "nms": 0.45}
SCALED = {"resize": "letterbox", "position": "centre", "scale": pytest.approx(1 / 255), "channels": "RGB"}


@pytest.mark.parametrize(
    ("output", "input_fields", "output_fields"),
    [
        pytest.param(rows().T, SCALED, ULTRALYTICS, id="YOLOv8 and later"),
        pytest.param(rows(objectness=1.0, anchors=3), SCALED, WITH_OBJECTNESS, id="YOLOv5 and YOLOv7"),
        pytest.param(rows(objectness=1.0), SCALED, WITH_OBJECTNESS, id="YOLOv6"),
        pytest.param(
            rows(objectness=0.999),
            {"resize": "letterbox", "position": "corner", "scale": 1.0, "channels": "BGR"},
            WITH_OBJECTNESS,
            id="YOLOX",
        ),
        pytest.param(finished(), SCALED, {"columns": {"boxes": (0, 4), "scores": 4, "classes": 5}}, id="YOLOv10"),
    ],
)
def test_a_family_is_known_by_its_output(
    add_onnx: Add,
    detector_processes: DetectorProcesses,
    tmp_path: Path,
    output: np.ndarray,
    input_fields: dict[str, Any],
    output_fields: dict[str, Any],
) -> None:
    onnx_models.write_constant(tmp_path / "best.onnx", {"output0": output}, (None, 3, SIDE, SIDE), NAMES)

    entry = add_onnx(tmp_path / "best.onnx")

    assert list(entry.labels) == LABELS
    assert (entry.input.width, entry.input.interpolation, entry.input.padding) == (SIDE, "bilinear", 114)
    assert {name: getattr(entry.input, name) for name in input_fields} == input_fields
    written = entry.output.model_dump(exclude_none=True)
    assert {name: written[name] for name in output_fields} == output_fields
    assert entry.defaults.min_score == 0.25
    [found] = detector_processes["onnx"].detect(entry, [np.zeros((SIDE, SIDE, 3), np.uint8)])
    assert found.boxes.tolist() == [[8, 8, 16, 16]]
    assert found.class_ids.tolist() == [1]
    assert found.scores.tolist() == pytest.approx([0.8], abs=1e-3)


@pytest.mark.parametrize("detections", [finished(), np.zeros((300, 6), np.float32)], ids=["told apart", "declared"])
def test_an_export_that_answers_only_for_the_first_picture_gets_one_at_a_time(
    add_onnx: Add, detector_processes: DetectorProcesses, tmp_path: Path, detections: np.ndarray
) -> None:
    declared = {} if detections.any() else {"args": "{'batch': 1, 'nms': True, 'dynamic': True}"}
    onnx_models.write_first_only(tmp_path / "best.onnx", detections, {**NAMES, **declared})

    entry = add_onnx(tmp_path / "best.onnx")

    assert entry.batch_size == 1
    found = detector_processes["onnx"].detect(entry, [np.zeros((SIDE, SIDE, 3), np.uint8)] * 3)
    assert [len(one.boxes) for one in found] == [int(detections.any())] * 3


def test_a_wide_picture_is_in_the_middle(add_onnx: Add, detector_processes: DetectorProcesses, tmp_path: Path) -> None:
    onnx_models.write_constant(tmp_path / "best.onnx", {"output0": finished()}, (None, 3, SIDE, SIDE), NAMES)
    entry = add_onnx(tmp_path / "best.onnx")

    # 16 rows of padding above: the box from 8 to 16 lies in them.
    [wide] = detector_processes["onnx"].detect(entry, [np.zeros((64, 128, 3), np.uint8)])
    [high] = detector_processes["onnx"].detect(entry, [np.zeros((128, 96, 3), np.uint8)])

    assert wide.boxes.tolist() == []
    assert high.boxes.tolist() == [[0, 16, 16, 32]]


def test_ultralytics_rtdetr_is_stretched(add_onnx: Add, tmp_path: Path) -> None:
    queries = np.full((300, 7), 0.2, np.float32)
    onnx_models.write_constant(tmp_path / "rtdetr.onnx", {"output0": queries}, (1, 3, SIDE, SIDE), NAMES)

    entry = add_onnx(tmp_path / "rtdetr.onnx")

    assert (entry.input.resize, entry.output.coordinates, entry.output.nms) == ("stretch", "normalised", None)
    assert entry.output.columns is not None
    assert entry.output.columns.class_scores == (4, 7)


def test_the_size_of_a_free_input_is_read_from_the_metadata(add_onnx: Add, tmp_path: Path) -> None:
    wide = {**NAMES, "imgsz": "[32, 64]"}
    onnx_models.write_constant(tmp_path / "best.onnx", {"output0": finished()}, (None, 3, None, None), wide)

    entry = add_onnx(tmp_path / "best.onnx")

    assert (entry.input.width, entry.input.height) == (64, 32)
    assert add_onnx(tmp_path / "best.onnx", size=(96, 96)).input.width == 96


def test_a_row_for_each_cell_needs_suppression_also_in_two_outputs(add_onnx: Add, tmp_path: Path) -> None:
    outputs = {"pred_bboxes": rows()[:, :4], "pred_scores": rows()[:, 4:]}
    onnx_models.write_constant(tmp_path / "nas.onnx", outputs, (None, 3, SIDE, SIDE))

    assert add_onnx(tmp_path / "nas.onnx", labels="cat,dog,bird").output.nms == 0.7


def test_labels_of_an_option_replace_those_of_the_file(add_onnx: Add, tmp_path: Path) -> None:
    onnx_models.write_constant(tmp_path / "best.onnx", {"output0": rows().T}, metadata=NAMES)

    assert add_onnx(tmp_path / "best.onnx", labels="a,b,c").labels == ("a", "b", "c")
    with pytest.raises(CatalogueError, match=r"best\.onnx needs 3 labels, but --labels has 2 labels"):
        add_onnx(tmp_path / "best.onnx", labels="a,b")


def test_without_names_in_the_file_labels_are_asked_for(add_onnx: Add, tmp_path: Path) -> None:
    onnx_models.write_constant(tmp_path / "best.onnx", {"output0": rows().T})

    with pytest.raises(CatalogueError, match=r"has no labels yet\. Add --labels with 3 labels"):
        add_onnx(tmp_path / "best.onnx")
    (tmp_path / "data.yaml").write_text("names: [cat, dog, bird]")
    assert list(add_onnx(tmp_path / "best.onnx").labels) == LABELS


MASKS = np.zeros((32, 16, 16), np.float32)
WITH_MASKS = np.concatenate([rows(), np.zeros((CELLS, 32), np.float32)], axis=1)
UNDECODED = np.concatenate([np.full((CELLS, 4), 0.3, np.float32), rows(objectness=0.5)[:, 4:]], axis=1)
LOGITS = np.concatenate([grid(), np.full((CELLS, 3), -4, np.float32)], axis=1)


@pytest.mark.parametrize(
    ("outputs", "metadata", "message"),
    [
        ({"output0": rows().T}, {**NAMES, "task": "segment"}, r"has the task segment: it finds masks, and only models"),
        ({"output0": rows().T}, {**NAMES, "task": "pose"}, r"has the task pose: it finds the points of a pose"),
        ({"output0": rows().T}, {**NAMES, "task": "obb"}, r"has the task obb: it finds oriented boxes"),
        (
            {"output0": np.zeros(9, np.float32)},
            {**NAMES, "task": "classify"},
            r"task classify: it classifies",
        ),
        (
            {"output0": WITH_MASKS.T, "output1": MASKS},
            {},
            r"masks, so it is a model for segmentation",
        ),
        (
            {"output0": WITH_MASKS.T},
            {"names": NAMES["names"]},
            r"has 39 numbers for each cell, but a box and a score for each of its 3 classes are 7: the others",
        ),
        ({"output0": UNDECODED}, NAMES, r"its boxes are not decoded: they are relative to the cells of a grid"),
        ({"output0": LOGITS.T}, NAMES, r"its scores reach from -4 to -4, which are no probabilities"),
        ({"output0": finished(7)}, NAMES, r"which is no output of a YOLO model for 3 classes"),
    ],
)
def test_other_models_than_those_for_boxes_are_refused(
    add_onnx: Add, tmp_path: Path, outputs: dict[str, np.ndarray], metadata: dict[str, str], message: str
) -> None:
    onnx_models.write_constant(tmp_path / "best.onnx", outputs, (None, 3, SIDE, SIDE), metadata)

    with pytest.raises(ModelUnusable, match=message):
        add_onnx(tmp_path / "best.onnx", labels="cat,dog,bird")

    assert not (tmp_path / "added.toml").exists()
