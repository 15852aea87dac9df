import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from tests.unit.training.conftest import SHAPES
from training.data.batches import Batches, Source
from training.data.datasets import Example
from training.model.layout import VIEW_SIZE
from training.model.network import CenterNet
from training.model.train import Plan, Progress, _confused, _focal, _generous_overlap, train

PLAN = Plan(steps=4, rate=1e-3, batch=2, seed=3)


class Stopped(Exception):
    """Somebody pressed Ctrl-C."""


def learn(examples: list[Example], checkpoint: Path, plan: Plan = PLAN, stop_after: int | None = None) -> CenterNet:
    torch.manual_seed(0)

    def report(at: Progress) -> None:
        seen.append(at)
        if at.step == stop_after:
            raise Stopped

    seen: list[Progress] = []
    network = train(
        CenterNet(len(SHAPES)),
        [Source(examples, 1.0)],
        SHAPES,
        plan,
        device="cpu",
        threads=1,
        checkpoint=checkpoint,
        report=report,
    )
    assert [at.step for at in seen] == list(range(plan.steps - len(seen) + 1, plan.steps + 1))
    return network


def same(one: CenterNet, other: CenterNet) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_a_stopped_training_goes_on_to_the_same_weights(
    shapes: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.model.train.CHECKPOINT_SECONDS", 0.0)
    whole = learn(shapes, tmp_path / "whole.pt")

    with pytest.raises(Stopped):
        learn(shapes, tmp_path / "stopped.pt", stop_after=2)
    resumed = learn(shapes, tmp_path / "stopped.pt")

    assert same(whole, resumed)
    assert not same(whole, learn(shapes, tmp_path / "other.pt", Plan(steps=4, rate=1e-3, batch=2, seed=4)))


def test_what_is_complete_is_not_learnt_again_unless_the_pictures_differ(shapes: list[Example], tmp_path: Path) -> None:
    plan, checkpoint = Plan(steps=1, rate=1e-3, batch=2), tmp_path / "checkpoint.pt"
    first = learn(shapes, checkpoint, plan)

    assert same(first, learn(shapes, checkpoint, plan, stop_after=1))
    with pytest.raises(Stopped):
        learn(shapes[:-1], checkpoint, plan, stop_after=1)


@pytest.mark.timeout(600)
def test_it_learns(shapes: list[Example], tmp_path: Path) -> None:
    losses: list[Progress] = []
    torch.manual_seed(0)

    train(
        CenterNet(len(SHAPES)),
        [Source(shapes, 1.0)],
        SHAPES,
        Plan(steps=40, rate=2e-3, batch=2),
        device="cpu",
        threads=1,
        checkpoint=tmp_path / "checkpoint",
        report=losses.append,
    )

    # Averages, of which the first step is still more than half; with a wrong sign somewhere they rise.
    assert losses[-1].heat_loss < 0.95 * losses[0].heat_loss
    assert losses[-1].box_loss < 0.95 * losses[0].box_loss


def test_what_nobody_knows_costs_nothing_and_a_missed_peak_does() -> None:
    heat, wanted = torch.full((1, 1, 4, 4), -4.0), torch.zeros(1, 1, 4, 4)
    everywhere = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    wanted[0, 0, 1, 1] = 1.0
    found = heat.clone()
    found[0, 0, 1, 1] = 4.0
    nowhere = everywhere.clone()
    nowhere[0, 0, 1, 1] = False

    assert _focal(heat, wanted, everywhere) > 10 * _focal(found, wanted, everywhere)
    assert _focal(heat, wanted, nowhere) < 0.1 * _focal(heat, wanted, everywhere)


def test_a_class_is_weighed_only_against_those_that_are_not_there() -> None:
    heat, kind = torch.tensor([[1.0, 1.0, 5.0]]), torch.tensor([0])
    all_known = torch.ones(1, 3, dtype=torch.bool)
    alone, both = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.9]])

    # Against the third, which is louder; against the second alone, as loud, where the third is there too or unknown.
    assert _confused(heat, alone, all_known, kind).item() > 4
    assert _confused(heat, both, all_known, kind).item() == pytest.approx(math.log(2))
    assert _confused(heat, alone, torch.tensor([[True, True, False]]), kind).item() == pytest.approx(math.log(2))


def test_the_overlap_is_one_for_the_same_box_and_less_than_nothing_far_away() -> None:
    box = torch.tensor([[2.0, 3.0, 4.0, 5.0]])

    assert _generous_overlap(box, box).item() == pytest.approx(1.0)
    # Half as wide to the right: 4 x 8 of 6 x 8 cells.
    assert _generous_overlap(torch.tensor([[2.0, 3.0, 2.0, 5.0]]), box).item() == pytest.approx(4 / 6)
    assert _generous_overlap(torch.tensor([[9.0, 9.0, 9.0, 9.0]]), box).item() < 0.2


def test_both_sources_are_looked_at_and_the_number_of_feeders_changes_nothing(shapes: list[Example]) -> None:
    bare = [replace(example, boxes=()) for example in shapes[6:]]
    batches = Batches([Source(shapes[:6], 0.5), Source(bare, 0.5)], SHAPES, size=4, count=6, seed=1)

    alone = list(DataLoader(batches, batch_size=None, sampler=range(6)))
    fed = list(DataLoader(batches, batch_size=None, sampler=range(6), num_workers=2))

    with_boxes = [len(set(batch["cells"][:, 0].tolist())) for batch in alone]
    assert 0 < sum(with_boxes) < 6 * 4
    for one, other in zip(alone, fed, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_few_very_long_pictures_among_others_are_no_trouble(shapes: list[Example], tmp_path: Path) -> None:
    long = []
    for number in range(2):
        Image.new("RGB", (30, 600), "white").save(tmp_path / f"long{number}.png")
        long.append(Example(tmp_path / f"long{number}.png", 30, 600, (), frozenset(SHAPES)))
    batches = Batches([Source([*shapes, *long], 1.0)], SHAPES, size=4, count=200, seed=1)

    assert all(batches[number]["image"].shape[0] == 4 for number in range(60))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_pictures_make_batches_too(shapes: list[Example], count: int) -> None:
    batches = Batches([Source(shapes[:count], 1.0)], SHAPES, size=4, count=12, seed=1)

    assert all(batches[number]["cells"].shape[1] == 4 for number in range(12))


def test_a_batch_is_always_the_same(shapes: list[Example]) -> None:
    batches = Batches([Source(shapes[:6], 0.5), Source(shapes[6:], 0.5)], SHAPES, size=8, count=9, seed=1)

    first, again, other = batches[3], batches[3], batches[4]

    assert all(torch.equal(first[name], again[name]) for name in first)
    assert first["image"].shape != other["image"].shape or not torch.equal(first["image"], other["image"])
    b, height, width, _ = first["image"].shape
    assert (b, first["heat"].shape) == (8, (8, 2, height // 4, width // 4))
    assert max(height, width) == VIEW_SIZE
    assert first["cells"][:, 0].max() <= 7
