import pytest
import torch

from training.model.border_refinement import BorderRefinement
from training.model.layout import PER_SIDE, SIDES

LEFT, TOP, RIGHT, BOTTOM = range(SIDES)


def reading(side: int, factor: float) -> BorderRefinement:
    """A refinement that moves this side by `factor` times the value of its first channel at the middle of the side."""
    borders = BorderRefinement(2)
    with torch.no_grad():
        borders.seen.zero_()
        middle = 7 * PER_SIDE  # the middle of the side's 15 points
        borders.seen[side, middle, 0] = 1.0
        borders.move[side, 0] = factor
    return borders


def test_an_untrained_refinement_moves_no_box() -> None:
    corners = torch.tensor([[1.0, 2.0, 30.0, 40.0]])

    moved = BorderRefinement(2)(torch.randn(1, 32, 56, 56), torch.tensor([0]), corners, torch.tensor([1]))

    assert torch.equal(moved, corners)


@pytest.mark.parametrize(
    ("side", "there"),
    [(LEFT, (10.25, 20.0)), (TOP, (20.25, 10.0)), (RIGHT, (30.25, 20.0)), (BOTTOM, (20.25, 30.0))],
    ids=["left", "top", "right", "bottom"],
)
def test_a_side_moves_by_the_value_of_the_map_at_its_middle(side: int, there: tuple[float, float]) -> None:
    corners = torch.tensor([[10.25, 10.0, 30.25, 30.0]])
    rows, columns = torch.meshgrid(torch.arange(56) + 0.5, torch.arange(48) + 0.5, indexing="ij")
    edges = torch.full((2, 32, 56, 48), 1e6)
    edges[1, side * PER_SIDE] = columns + 100 * rows  # of the second picture; read between the cells

    moved = reading(side, 0.01)(edges, torch.tensor([1]), corners, torch.tensor([0]))

    wanted = corners.clone()
    wanted[0, side] += 0.01 * (there[0] + 100 * there[1])
    assert moved.tolist() == [pytest.approx(wanted[0].tolist(), rel=1e-5)]


def test_a_box_beyond_the_picture_reads_its_rim() -> None:
    edges = torch.ones(1, 32, 56, 56)

    moved = reading(LEFT, 1.0)(edges, torch.tensor([0]), torch.tensor([[-9.0, -9.0, 90.0, 90.0]]), torch.tensor([0]))

    assert moved[0].tolist() == [-8.0, -9.0, 90.0, 90.0]
