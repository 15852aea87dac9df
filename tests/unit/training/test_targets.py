import numpy as np
import pytest
import torch

from training.boxes import Box
from training.data.targets import Targets, targets
from training.data.views import View
from training.model.layout import LABELS, STRIDE, VIEW_SIZE
from training.model.network import decode

GREY = np.zeros((VIEW_SIZE, VIEW_SIZE, 3), np.uint8)
CELLS = VIEW_SIZE // STRIDE


def outputs(wanted: Targets) -> tuple[torch.Tensor, torch.Tensor]:
    """The outputs of a network that predicts these targets exactly."""
    logits = torch.logit(torch.from_numpy(wanted.heat).clamp(0.001, 0.999))[None]
    sides = torch.zeros(len(LABELS), 4, CELLS, CELLS)
    kind, row, column = torch.from_numpy(wanted.cells).unbind(1)
    sides[kind, :, row, column] = torch.log(torch.from_numpy(wanted.sides))
    return logits, sides.flatten(0, 1)[None]


def test_decoding_the_targets_gives_the_boxes_back() -> None:
    boxes = (Box("textbox", 40, 20, 300, 45), Box("rating", 50, 150, 130, 170), Box("image", 0, 200, 150, 448))

    found, scores, classes = decode(
        *outputs(targets(View(GREY, boxes, ()), LABELS, LABELS)), lambda corners, _: corners
    )

    for box in boxes:
        best = int((classes[0] == LABELS.index(box.label)).nonzero()[0, 0])
        assert scores[0, best] == pytest.approx(0.999)
        assert found[0, best].tolist() == pytest.approx([box.x1, box.y1, box.x2, box.y2], abs=0.5)


def test_rows_two_cells_apart_stay_apart() -> None:
    rows = tuple(Box("radiobutton", 20, top, 60, top + 7.5) for top in range(20, 380, 9))

    _, scores, classes = decode(*outputs(targets(View(GREY, rows, ()), LABELS, LABELS)), lambda corners, _: corners)

    assert int((scores[0] > 0.9).sum()) == len(rows)
    assert set(classes[0, : len(rows)].tolist()) == {LABELS.index("radiobutton")}


def test_a_check_box_is_found_by_its_square_and_text_by_its_middle() -> None:
    boxes = (Box("checkbox", 100, 100, 260, 120), Box("textbox", 100, 200, 260, 220))

    heat = targets(View(GREY, boxes, ()), LABELS, LABELS).heat

    # The middles of the square at the left end and of the whole box, in cells.
    assert np.argwhere(heat[LABELS.index("checkbox")] == 1).tolist() == [[27, 27]]
    assert np.argwhere(heat[LABELS.index("textbox")] == 1).tolist() == [[52, 45]]


def test_labels_that_are_not_annotated_are_masked() -> None:
    view = View(GREY, (Box("textbox", 40, 40, 200, 80),), (Box("?", 0, 224, 448, 448),))

    mask = targets(view, LABELS, {"textbox", "checkbox"}).mask

    text, image = LABELS.index("textbox"), LABELS.index("image")
    assert mask[text, : CELLS // 2].all()
    assert not mask[text, CELLS // 2 :].any()  # an object of an unknown class is there
    assert not mask[image].any()


def test_where_boxes_overlap_the_smaller_has_the_cells_and_each_weighs_one() -> None:
    large, small = Box("image", 0, 0, 400, 400), Box("image", 180, 180, 220, 220)

    wanted = targets(View(GREY, (large, small), ()), LABELS, LABELS)

    assert wanted.weights.sum() <= 2
    middle = (wanted.cells == [LABELS.index("image"), 50, 50]).all(axis=1)
    (sides,) = wanted.sides[middle]
    assert sides == pytest.approx([5.5, 5.5, 4.5, 4.5])


def test_a_view_without_boxes_has_no_cells() -> None:
    wanted = targets(View(GREY, (), ()), LABELS, LABELS)

    assert wanted.cells.shape == (0, 3)
    assert wanted.sides.shape == (0, 4)
    assert not wanted.heat.any()
