"""The meaning of outputs is inferred from their names and shapes."""

from typing import Any

import numpy as np
import pytest

from detectors.errors import ModelUnusable
from detectors.onboarding.edit_catalogue import Guess
from detectors.onboarding.infer_entry import infer_columns, infer_output

N, K = 2, 5
BOXES = np.tile(np.float32([3, 4, 20, 30]), (N, K, 1))
SCORES = np.full((N, K), 0.5, np.float32)
IDS = np.ones((N, K), np.int64)


def plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Inferred values without their comments."""
    return {name: value.value if isinstance(value, Guess) else value for name, value in fields.items()}


@pytest.mark.parametrize(
    ("outputs", "fields"),
    [
        (
            {"detection_boxes": BOXES, "detection_scores": SCORES, "detection_classes": SCORES, "raw": BOXES},
            {
                "boxes": "detection_boxes",
                "scores": "detection_scores",
                "classes": "detection_classes",
                "first_class": 1,
                "box_order": "yxyx",
                "coordinates": "normalised",
            },
        ),
        (
            {"boxes": [BOXES[0]] * N, "labels": [IDS[0]] * N, "scores": [SCORES[0]] * N},
            {"boxes": "boxes", "scores": "scores", "classes": "labels", "first_class": 1},
        ),
        (
            {"pred_logits": np.zeros((N, K, 3)), "pred_boxes": BOXES},
            {
                "boxes": "pred_boxes",
                "class_scores": "pred_logits",
                "box_order": "cxcywh",
                "coordinates": "normalised",
            },
        ),
        (
            {0: IDS, 1: BOXES, 2: SCORES, 3: np.full(N, 4)},
            {
                "boxes": 1,
                "scores": 2,
                "classes": 0,
                "first_class": 0,
                "count": 3,
                "box_order": "xyxy",
                "coordinates": "pixels",
            },
        ),
        (
            {"class": SCORES * 4, "score": SCORES * 10, "xywh": BOXES[..., ::-1] / 40},
            {
                "boxes": "xywh",
                "scores": "score",
                "classes": "class",
                "first_class": 0,
                "activation": "sigmoid",
                "box_order": "cxcywh",
                "coordinates": "normalised",
            },
        ),
        (
            {0: np.zeros((N, K, 4)), "boxes": BOXES},
            {"boxes": "boxes", "class_scores": 0, "box_order": "xyxy", "coordinates": "pixels"},
        ),
    ],
    ids=["Object Detection API", "torchvision", "DETR", "by type", "by name", "four classes"],
)
def test_well_known_names_and_shapes_give_the_output_table(outputs: Any, fields: dict[str, Any]) -> None:
    assert plain(infer_output(outputs)) == fields


def test_two_indistinguishable_outputs_are_scores_and_then_classes() -> None:
    fields = infer_output({0: BOXES, 1: SCORES, 2: SCORES})

    assert (fields["scores"], fields["classes"].value) == (1, 2)
    assert "inferred" in fields["classes"].comment


def test_a_few_boxes_of_negative_size_do_not_hide_that_boxes_are_corners() -> None:
    boxes = np.tile(BOXES, (1, 10, 1))
    boxes[0, :3] = boxes[0, :3, ::-1]

    fields = infer_output({0: boxes, 1: np.ones(boxes.shape[:2]), 2: np.ones(boxes.shape[:2], int)})

    assert fields["box_order"].value == "xyxy"


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({0: SCORES}, r"returns 0 2 × 5, and none of these is boxes, n × k × 4"),
        ({0: BOXES, 1: SCORES}, r"n × k scores and n × k class ids"),
        ({0: BOXES, 1: IDS, 2: IDS}, r"n × k scores, which are floating"),
    ],
)
def test_a_model_without_boxes_or_scores_is_refused(outputs: Any, message: str) -> None:
    with pytest.raises(ModelUnusable, match=message):
        infer_output(outputs)


FIRST = np.tile(np.float32([9, 0, -2, 1]), (N, K, 1))
LAST = FIRST[..., ::-1]
SIGMOID = np.full((N, K, 4), 0.1, np.float32)


@pytest.mark.parametrize(
    ("scores", "labels", "fields"),
    [
        (FIRST, ["a", "b", "c"], {"background": "first", "first_class": 1, "activation": "softmax"}),
        (LAST, ["a", "b", "c"], {"background": "last", "activation": "softmax"}),
        (LAST, {1: "a", 2: "b"}, {"background": "last", "activation": "softmax"}),
        (LAST, {1: "a", 3: "b"}, {"background": "first", "activation": "softmax"}),
        (FIRST, ["a", "b", "c", "d"], {"activation": "sigmoid"}),
        (SIGMOID, ["a", "b", "c", "d"], {}),
    ],
)
def test_the_meaning_of_score_columns_is_inferred(scores: Any, labels: Any, fields: dict[str, Any]) -> None:
    assert plain(infer_columns(scores, labels)) == fields


def test_padding_and_rounding_do_not_look_like_logits_or_other_boxes() -> None:
    boxes = np.array([[[0.1, 0.2, 0.5, 0.6], [np.nan] * 4]] * N)
    scores, classes = np.array([[1.0003, -1.0]] * N), np.array([[2, -1]] * N)

    fields = plain(infer_output({0: boxes, 1: scores, 2: classes}))

    assert (fields["box_order"], fields["coordinates"]) == ("xyxy", "normalised")
    assert "activation" not in fields
