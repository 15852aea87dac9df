"""All output formats of models give the same detections."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from detectors.boxes import MAX_CANDIDATES, boxes_in_picture, clipped, non_maximum_suppression
from detectors.catalogue import Input, ModelEntry, Output
from detectors.errors import DetectionFailed, ScoreOutOfRange
from detectors.postprocess import Detections, postprocess

WIDTH, HEIGHT = 200, 100  # 100 × 50 in the model
BOX = [20, 20, 40, 60]
"""In the picture: 10, 10, 20, 30 in the model."""


def found(*outputs: Any, **fields: Any) -> Detections:
    into = fields.pop("into", Input(width=100, height=100))
    ids, labels = fields.pop("ids", None), fields.pop("labels", ("a", "b", "c"))
    entry = ModelEntry(
        name="m", runtime="r", format="f", file=Path("m"), sha256="0" * 64, labels=labels, ids=ids, input=into,
        output=Output(**fields),
    )  # fmt: skip
    return postprocess(entry, [np.asarray(output, float) for output in outputs], WIDTH, HEIGHT)


@pytest.mark.parametrize(
    ("order", "box"),
    [
        ("xyxy", [10, 10, 20, 30]),
        ("yxyx", [10, 10, 30, 20]),
        ("xywh", [10, 10, 10, 20]),
        ("yxhw", [10, 10, 20, 10]),
        ("cxcywh", [15, 20, 10, 20]),
        ("cycxhw", [20, 15, 20, 10]),
    ],
)
@pytest.mark.parametrize("normalised", [False, True])
def test_boxes_are_read_in_the_order_of_their_entry(order: str, box: list[float], normalised: bool) -> None:
    written = np.array(box, np.float32) / (100 if normalised else 1)

    one = found([written], [0.9], [0], box_order=order, coordinates="normalised" if normalised else "pixels")

    assert one.boxes.tolist() == [pytest.approx(BOX)]


def test_pictures_in_their_own_size_have_boxes_in_that_size() -> None:
    as_it_is = Input(width=400, height=400, resize="none")
    made_smaller = Input(width=100, height=100, resize="none")

    assert found([BOX], [0.9], [0], into=as_it_is).boxes.tolist() == [BOX]
    assert found([[10, 10, 20, 30]], [0.9], [0], into=made_smaller).boxes.tolist() == [BOX]
    normalised = {"coordinates": "normalised", "into": as_it_is}
    assert found([[0.1, 0.2, 0.2, 0.6]], [0.9], [0], **normalised).boxes.tolist() == [pytest.approx(BOX)]


LOGITS = np.log([[0.7, 0.2, 0.06, 0.04], [0.1, 0.2, 0.1, 0.6], [0.05, 0.35, 0.45, 0.15]])


@pytest.mark.parametrize(
    ("fields", "scores", "classes"),
    [
        ({"background": "last"}, [0.7, 0.45, 0.2], [0, 2, 1]),
        ({"background": "first", "first_class": 1}, [0.6, 0.45, 0.2], [2, 1, 0]),
        ({"labels": ("a", "b", "c", "d")}, [0.7, 0.6, 0.45], [0, 3, 2]),
    ],
    ids=["background last, as DETR", "background first", "no background"],
)
def test_softmax_over_a_column_for_each_class(fields: Any, scores: list[float], classes: list[int]) -> None:
    one = found([[1, 1, 2, 2]] * 3, LOGITS, class_scores=1, activation="softmax", **fields)

    assert one.scores.tolist() == pytest.approx(scores)
    assert one.class_ids.tolist() == classes


def test_a_box_may_count_for_several_classes() -> None:
    columns = [[0.9, 0.6, 0.0], [0.0, 0.01, 0.3]]

    one = found([[1, 1, 2, 2], [3, 3, 4, 4]], columns, class_scores=1, several_classes=True)

    assert one.scores.tolist() == pytest.approx([0.9, 0.6, 0.3])
    assert one.class_ids.tolist() == [0, 1, 2]
    assert one.boxes[0].tolist() == one.boxes[1].tolist() != one.boxes[2].tolist()


def test_very_large_logits_become_scores() -> None:
    one = found([[1, 1, 2, 2]] * 3, [[1e4, -1e4, 0.0]] * 3, class_scores=1, activation="sigmoid", several_classes=True)

    assert one.scores.tolist() == [1, 1, 1, 0.5, 0.5, 0.5]


def test_class_ids_may_have_gaps_and_lower_ids_mean_no_object() -> None:
    one = found([[1, 1, 2, 2]] * 4, [0.9, 0.8, 0.7, 0.6], [90, 1, 0, 44], ids=(1, 44, 90))

    assert one.class_ids.tolist() == [2, 0, 1]


@pytest.mark.parametrize("wrong", [2, 91, 1e30])
def test_a_class_in_a_gap_or_after_the_last_is_a_failure(wrong: int) -> None:
    with pytest.raises(DetectionFailed, match="found class"):
        found([[1, 1, 2, 2]], [0.9], [wrong], ids=(1, 44, 90))


@pytest.mark.parametrize("labels", [("a", "b"), ("a", "b", "c", "d")])
def test_more_or_fewer_labels_than_columns_are_a_failure_before_anything_is_found(labels: tuple[str, ...]) -> None:
    with pytest.raises(DetectionFailed, match=f"up to 2, .* up to {len(labels) - 1}: list as many labels"):
        found(np.zeros((0, 4)), np.zeros((0, 4)), labels=labels, class_scores=1, background="last")


def test_labels_with_ids_need_not_name_every_column() -> None:
    one = found([[1, 1, 2, 2]], [[0.1, 0.9, 0.1, 0.1]], labels=("b",), ids=(1,), class_scores=1)

    assert one.class_ids.tolist() == [0]


DOUBLES = ([[10, 10, 30, 30], [11, 10, 31, 30], [10, 10, 30, 30], [60, 20, 80, 40]], [0.8, 0.9, 0.7, 0.6], [0, 0, 1, 0])


def test_suppression_is_within_a_class() -> None:
    assert found(*DOUBLES, nms=0.5).scores.tolist() == pytest.approx([0.9, 0.7, 0.6])
    assert found(*DOUBLES, nms=0.5, nms_across_classes=True).scores.tolist() == pytest.approx([0.9, 0.6])
    assert found(*DOUBLES).scores.tolist() == pytest.approx([0.9, 0.8, 0.7, 0.6])


def test_suppression_keeps_the_same_boxes_as_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 60, (400, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 40, (400, 2))], axis=1).astype(np.float32)
    classes = rng.integers(0, 3, 400)

    def overlap(one: Any, other: Any) -> float:
        wide = min(one[2], other[2]) - max(one[0], other[0])
        high = min(one[3], other[3]) - max(one[1], other[1])
        shared = max(0.0, wide) * max(0.0, high)
        areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
        return float(shared / (sum(areas) - shared))

    kept: list[int] = []
    for n in range(400):
        if all(classes[n] != classes[m] or overlap(boxes[n], boxes[m]) <= 0.4 for m in kept):
            kept.append(n)

    assert non_maximum_suppression(boxes, classes, 0.4).tolist() == kept
    assert 20 < len(kept) < 380


def test_boxes_without_a_size_suppress_none() -> None:
    assert non_maximum_suppression(np.zeros((2, 4), np.float32), None, 0.5).tolist() == [0, 1]


@pytest.mark.parametrize(
    "outputs",
    [
        ([[1, 1, 2, 2]] * 2, [[0.5, 0.5]]),
        ([[1, 1, 2]], [[0.5, 0.5]]),
        ([[1, 1, 2, 2]], [0.5]),
        ([[1, 1, 2, 2]], [[0.5, np.nan]]),
    ],
    ids=["too few scores", "three corners", "no columns", "no number"],
)
def test_invalid_columns_are_a_failure(outputs: Any) -> None:
    with pytest.raises(DetectionFailed):
        found(*outputs, class_scores=1)


@pytest.mark.parametrize("score", [1.5, -0.5, 7.0])
def test_a_score_that_is_no_probability_is_a_failure_of_its_own(score: float) -> None:
    with pytest.raises(ScoreOutOfRange, match="activation"):
        found([[10, 10, 20, 30]] * 2, [0.9, score], [0, 0])
    with pytest.raises(ScoreOutOfRange):
        found([[10, 10, 20, 30]], [[0.1, score, 0.2]], class_scores=1)


def test_a_score_that_rounding_lifts_over_one_is_one() -> None:
    assert found([[10, 10, 20, 30]] * 2, [1.0005, -0.0005], [0, 0]).scores.tolist() == [1.0]


def test_rows_that_count_for_nothing_may_have_any_numbers() -> None:
    nan = float("nan")
    boxes = [[10, 10, 20, 30], [nan] * 4, [nan] * 4, [nan] * 4]

    one = found(boxes, [0.9, 0.0, nan, 0.9], [0, nan, -1, 0], [3], count=3)

    assert (one.boxes.tolist(), one.scores.tolist()) == ([BOX], [pytest.approx(0.9)])


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (([[10, 10, np.nan, 30]], [0.9], [0]), "boxes that are not finite"),
        (([[10, 10, np.inf, 30]], [0.9], [0]), "boxes that are not finite"),
        (([[10, 10, 20, 30]], [np.nan], [0]), "scores that are not finite"),
        (([[10, 10, 20, 30]], [np.inf], [0]), "scores that are not finite"),
        (([[10, 10, 20, 30]], [0.9], [np.nan]), "classes that are not finite"),
    ],
)
def test_numbers_that_are_not_finite_are_a_failure_in_rows_that_count(outputs: Any, message: str) -> None:
    with pytest.raises(DetectionFailed, match=message):
        found(*outputs)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_logits_that_are_no_numbers_are_a_failure(activation: str) -> None:
    with pytest.raises(DetectionFailed, match="not finite"):
        found([[10, 10, 20, 30]], [[0.5, np.nan, 1.0]], class_scores=1, activation=activation)


@pytest.mark.parametrize(
    "box",
    [
        [110, 10, 120, 30],
        [-30, 10, -10, 30],
        [10, 60, 20, 90],
        [10, 10, 10, 30],
        [10, 10, 20, 10],
        [99.999, 10, 110, 30],
    ],
    ids=["right of it", "left of it", "in the padding below it", "no width", "no height", "no width after rounding"],
)
def test_boxes_outside_the_picture_or_without_area_are_left_out(box: list[float]) -> None:
    one = found([box, [10, 10, 20, 30]], [0.9, 0.8], [0, 0])

    assert (one.boxes.tolist(), one.scores.tolist()) == ([BOX], [pytest.approx(0.8)])


def test_pixels_that_are_read_as_normalised_are_a_failure_and_not_an_empty_answer() -> None:
    with pytest.raises(DetectionFailed, match="pixels"):
        found([[10, 10, 20, 30], [40, 40, 50, 50]], [0.9, 0.8], [0, 0], coordinates="normalised")


def test_boxes_far_outside_the_input_are_a_failure_and_not_an_empty_answer() -> None:
    with pytest.raises(DetectionFailed, match="names as boxes"):
        found([[5000, 10, 6000, 30]], [0.9], [0])
    assert found([[5000, 10, 6000, 30], [10, 10, 20, 30]], [0.9, 0.8], [0, 0]).boxes.tolist() == [BOX]
    assert found([[10, 10, 20, 6000]], [0.9], [0]).boxes.tolist() == [[20, 20, 40, 100]]


@pytest.mark.parametrize("wrong", [-5, np.nan, np.inf])
def test_a_count_that_is_none_is_a_failure(wrong: float) -> None:
    with pytest.raises(DetectionFailed, match="counted"):
        found([[10, 10, 20, 30]], [0.9], [0], [wrong], count=3)


def test_boxes_outside_the_picture_suppress_none_and_take_no_place() -> None:
    outside = [[110, 10, 120, 30]] * MAX_CANDIDATES

    one = found([*outside, [10, 10, 20, 30]], [0.9] * MAX_CANDIDATES + [0.8], [0] * (MAX_CANDIDATES + 1), nms=0.5)

    assert one.boxes.tolist() == [BOX]


def test_a_model_without_any_box_gives_empty_arrays() -> None:
    one = found(np.zeros((0, 4)), np.zeros((0, 3)), class_scores=1, activation="softmax", nms=0.5)

    assert (one.boxes.shape, one.scores.shape, one.class_ids.shape) == ((0, 4), (0,), (0,))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"background": "last"}, "background needs class_scores"),
        ({"several_classes": True}, "several_classes needs class_scores"),
        ({"activation": "softmax"}, "softmax needs class_scores"),
        ({"class_scores": "logits", "scores": "scores"}, "replaces scores"),
        ({"nms_across_classes": True}, "needs nms"),
        ({"tensor": 0}, "tensor and columns need each other"),
        ({"columns": {"class_scores": (4, 8)}}, "tensor and columns need each other"),
        ({"transposed": True}, "transposed needs tensor"),
        ({"tensor": 0, "columns": {"class_scores": (4, 8)}, "boxes": 3}, "tensor replaces boxes"),
        ({"tensor": 0, "columns": {"objectness": 4}}, "class_scores is needed, or scores"),
        ({"tensor": 0, "columns": {"class_scores": (4, 8), "classes": 5}}, "class_scores replaces scores and classes"),
        ({"tensor": 0, "columns": {"scores": 4, "classes": 5, "objectness": 6}}, "objectness needs class_scores"),
        ({"tensor": 0, "columns": {"boxes": (0, 5), "class_scores": (5, 8)}}, "boxes needs 4 columns"),
        ({"tensor": 0, "columns": {"class_scores": (8, 5)}}, "class_scores needs the first column"),
        (
            {"tensor": 0, "columns": {"class_scores": (5, 8), "objectness": 4}, "activation": "softmax"},
            "softmax does not fit objectness",
        ),
    ],
)
def test_fields_that_exclude_each_other_are_refused(fields: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Output(**fields)


def test_boxes_are_clipped_to_the_picture() -> None:
    into, output = Input(width=100, height=100), Output()

    whole = boxes_in_picture(np.array([[90.0, 40, -10, 900]], np.float32), WIDTH, HEIGHT, into, output)

    assert whole.tolist() == [[-20, 80, 180, 1800]]
    assert clipped(whole, WIDTH, HEIGHT).tolist() == [[0, 80, 180, 100]]


def test_boxes_that_differ_only_outside_the_picture_do_not_suppress_each_other() -> None:
    both = found([[0, 0, 10, 10], [-30, 0, 10, 10]], [0.9, 0.8], [0, 0], nms=0.5)

    assert both.boxes.tolist() == [[0, 0, 20, 20], [0, 0, 20, 20]]


ROWS = np.float32([[15, 20, 10, 20, 0.9, 0.1, 0.6, 0.3], [50, 25, 20, 10, 0.5, 0.8, 0.2, 0.1]])
"""Centre and size of a box, objectness, and the scores of three classes."""


@pytest.mark.parametrize("transposed", [False, True])
def test_one_tensor_may_have_everything(transposed: bool) -> None:
    tensor = ROWS.T if transposed else ROWS
    columns = {"class_scores": (5, 8), "objectness": 4}

    both = found(tensor, tensor=0, columns=columns, transposed=transposed, box_order="cxcywh")

    assert both.scores.tolist() == pytest.approx([0.54, 0.4])
    assert both.class_ids.tolist() == [1, 0]
    assert both.boxes.tolist() == [pytest.approx(BOX), pytest.approx([80, 40, 120, 60])]


def test_a_tensor_of_finished_detections_has_a_column_for_the_score_and_one_for_the_class() -> None:
    rows = [[10, 10, 20, 30, 0.9, 2], [0, 0, 0, 0, 0, 0]]

    one = found(rows, tensor=0, columns={"scores": 4, "classes": 5})

    assert (one.boxes.tolist(), one.scores.tolist(), one.class_ids.tolist()) == (
        [BOX],
        [pytest.approx(0.9)],
        [2],
    )


def test_the_classes_may_be_an_output_of_their_own() -> None:
    one = found([[10, 10, 20, 30, 0.9], [0, 0, 0, 0, 0]], [2, 0], tensor=0, columns={"scores": 4}, classes=1)

    assert (one.boxes.tolist(), one.class_ids.tolist()) == ([BOX], [2])


def test_logits_of_objectness_and_classes_become_probabilities() -> None:
    logits = np.log(ROWS[:, 4:] / (1 - ROWS[:, 4:]))
    rows = np.concatenate([ROWS[:, :4], logits], axis=1)

    columns = {"class_scores": (5, 8), "objectness": 4}
    both = found(rows, tensor=0, columns=columns, activation="sigmoid", box_order="cxcywh")

    assert both.scores.tolist() == pytest.approx([0.54, 0.4])


@pytest.mark.parametrize("shape", [(2, 7), (8,), (1, 2, 8)])
def test_a_tensor_without_the_columns_of_its_entry_is_a_failure(shape: tuple[int, ...]) -> None:
    with pytest.raises(DetectionFailed, match="but its entry needs rows of at least 8"):
        found(np.zeros(shape), tensor=0, columns={"class_scores": (5, 8), "objectness": 4})


def test_boxes_of_a_picture_in_the_middle_of_the_input_lose_the_padding() -> None:
    middle = Input(width=100, height=100, position="centre")  # 25 rows of padding above

    pixels = found([[10, 35, 20, 55]], [0.9], [0], into=middle)
    parts = found([[0.1, 0.35, 0.2, 0.55]], [0.9], [0], into=middle, coordinates="normalised")

    assert pixels.boxes.tolist() == [pytest.approx(BOX)]
    assert parts.boxes.tolist() == [pytest.approx(BOX)]
