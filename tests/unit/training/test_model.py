import math

import pytest
import torch

from training.export import fold_batch_norm
from training.model.layout import DETECTIONS, INPUT_SIZE
from training.model.network import CenterNet, Program, decode


def maps(*peaks: tuple[int, int, int, float]) -> tuple[torch.Tensor, torch.Tensor]:
    """Heat with peaks (class, row, column, logit) and distances of 2, 3, 4, 5 cells everywhere."""
    heat = torch.full((1, 6, 128, 128), -9.0)
    for kind, row, column, logit in peaks:
        heat[0, kind, row, column] = logit
    return heat, torch.log(torch.tensor([2.0, 3.0, 4.0, 5.0])).repeat(6)[None, :, None, None].expand(1, 24, 128, 128)


def unmoved(corners: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    """No refinement."""
    return corners


def test_a_peak_becomes_its_box() -> None:
    boxes, scores, classes = decode(*maps((4, 10, 20, 2.0), (1, 40, 50, 3.0)), unmoved)

    assert boxes.shape == (1, DETECTIONS, 4)
    assert classes[0, :2].tolist() == [1, 4]
    assert scores[0, :2].tolist() == pytest.approx([1 / (1 + math.exp(-3)), 1 / (1 + math.exp(-2))])
    # The middle of cell (row 10, column 20) is (82, 42) in pixels.
    assert boxes[0, 1].tolist() == pytest.approx([82 - 8, 42 - 12, 82 + 16, 42 + 20], abs=1e-3)


def test_a_weaker_neighbour_is_no_peak_and_boxes_end_at_the_edge() -> None:
    boxes, scores, _ = decode(*maps((0, 0, 0, 2.0), (0, 0, 1, 1.9)), unmoved)

    assert scores[0, 0] > 0.5 > scores[0, 1]
    assert boxes[0, 0].tolist() == pytest.approx([0, 0, 2 + 16, 2 + 20], abs=1e-3)


def test_neighbours_and_other_classes_are_not_suppressed() -> None:
    # The boxes are 6 x 8 cells: three columns apart they overlap by a third.
    _, scores, classes = decode(*maps((1, 50, 50, 3.0), (1, 50, 53, 2.0), (3, 50, 50, 1.0)), unmoved)

    assert classes[0, :3].tolist() == [1, 1, 3]
    assert (scores[0, :3] > 0.7).all()


def test_a_duplicate_is_suppressed_and_the_rest_stays_sorted() -> None:
    # Two rows apart, but wide enough to overlap by more than NMS_IOU.
    heat, _ = maps((0, 40, 40, 3.0), (0, 42, 40, 2.0), (0, 80, 40, 1.0))
    distances = torch.log(torch.tensor([30.0, 6.0, 30.0, 6.0])).repeat(6)[None, :, None, None].expand(1, 24, 128, 128)

    boxes, scores, _ = decode(heat, distances, unmoved)

    assert scores[0, :2].tolist() == pytest.approx([1 / (1 + math.exp(-3)), 1 / (1 + math.exp(-1))])
    assert boxes[0, 1, 1].item() == pytest.approx((80.5 - 6) * 4)
    assert scores[0, 2] < 0.01
    assert torch.equal(scores, scores.sort(dim=1, descending=True).values)


def test_of_equal_peaks_the_first_class_and_row_comes_first() -> None:
    _, _, classes = decode(*maps((5, 3, 3, 1.0), (2, 50, 9, 1.0), (2, 8, 70, 1.0)), unmoved)
    boxes, scores, _ = decode(*maps((2, 50, 9, 1.0), (2, 8, 70, 1.0)), unmoved)

    assert classes[0, :3].tolist() == [2, 2, 5]
    assert boxes[0, 0, 1] < boxes[0, 1, 1]
    assert torch.equal(scores, scores.sort(dim=1, descending=True).values)


def test_folding_the_normalisation_changes_nothing() -> None:
    torch.manual_seed(0)
    network = CenterNet(6)
    network(torch.randn(2, 3, 64, 64))  # statistics other than the first ones
    network.eval()
    pixels = torch.randn(1, 3, 64, 64)

    with torch.no_grad():
        for one, other in zip(network(pixels), fold_batch_norm(network)(pixels), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_a_picture_of_one_colour_raises_no_error() -> None:
    with torch.no_grad():
        boxes, scores, classes = Program(CenterNet(6).eval())(
            torch.zeros(1, INPUT_SIZE, INPUT_SIZE, 3, dtype=torch.uint8)
        )

    assert (boxes.dtype, scores.dtype, classes.dtype) == (torch.float32, torch.float32, torch.int64)
    assert boxes.isfinite().all()


def test_corners_are_refined_before_duplicates_are_suppressed() -> None:
    # Two boxes that overlap by a third become one.
    def together(corners: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        assert kinds.shape == corners.shape[:2]
        return torch.tensor([10.0, 20.0, 30.0, 40.0]).expand_as(corners)

    boxes, scores, _ = decode(*maps((1, 50, 50, 3.0), (1, 50, 53, 2.0)), together)

    assert boxes[0, 0].tolist() == [40, 80, 120, 160]
    assert scores[0, 1] < 0.01
