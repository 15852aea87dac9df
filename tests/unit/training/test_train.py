import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from tests.unit.training.conftest import SHAPES
from training.data.batches import Batches, Source
from training.data.datasets import Example
from training.model.layout import VIEW_SIZE
from training.model.losses import _class_loss, _focal_loss, _generalised_iou
from training.model.network import CenterNet
from training.model.train import Plan, Progress, _rate_factor, _update_average, train

PLAN = Plan(steps=4, rate=1e-3, batch=2, seed=3)


class Stopped(Exception):
    """Ctrl-C was pressed."""


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


def test_a_stopped_training_resumes_to_the_same_weights(
    shapes: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.model.train.CHECKPOINT_SECONDS", 0.0)
    whole = learn(shapes, tmp_path / "whole.pt")

    with pytest.raises(Stopped):
        learn(shapes, tmp_path / "stopped.pt", stop_after=2)
    resumed = learn(shapes, tmp_path / "stopped.pt")

    assert same(whole, resumed)
    assert not same(whole, learn(shapes, tmp_path / "other.pt", Plan(steps=4, rate=1e-3, batch=2, seed=4)))


def test_a_complete_training_is_not_repeated_unless_the_pictures_differ(shapes: list[Example], tmp_path: Path) -> None:
    plan, checkpoint = Plan(steps=1, rate=1e-3, batch=2), tmp_path / "checkpoint.pt"
    first = learn(shapes, checkpoint, plan)

    assert same(first, learn(shapes, checkpoint, plan, stop_after=1))
    with pytest.raises(Stopped):
        learn(shapes[:-1], checkpoint, plan, stop_after=1)


@pytest.mark.timeout(600)
def test_training_lowers_both_losses(shapes: list[Example], tmp_path: Path) -> None:
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

    # These are averages in which the first step still has more than half the weight. With a wrong sign they would rise.
    assert losses[-1].heat_loss < 0.95 * losses[0].heat_loss
    assert losses[-1].box_loss < 0.95 * losses[0].box_loss


def test_the_learning_rate_rises_during_the_warm_up_and_falls_along_half_a_cosine() -> None:
    rates = [_rate_factor(done) for done in (0.0, 0.02, 0.04, 0.28, 0.52, 1.0)]

    assert rates == pytest.approx([0.025, 0.525, 1.0, 0.5 + 0.5 / math.sqrt(2), 0.5, 0.0])


def test_the_average_starts_at_the_first_weights_and_follows_slower_over_time() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    average = AveragedModel(network, multi_avg_fn=_update_average)
    average.update_parameters(network)
    assert torch.equal(average.module.weight, network.weight)
    shares = []
    network.weight.data.fill_(1.0)
    for _ in range(6000):
        average.module.weight.data.zero_()
        average.update_parameters(network)
        shares.append(average.module.weight.item())

    assert shares[:2] == pytest.approx([10 / 11, 10 / 12])
    assert shares[-1] == pytest.approx(0.002, rel=1e-3)


def test_masked_cells_have_no_loss_and_a_missed_peak_has() -> None:
    heat, wanted = torch.full((1, 1, 4, 4), -4.0), torch.zeros(1, 1, 4, 4)
    everywhere = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    wanted[0, 0, 1, 1] = 1.0
    found = heat.clone()
    found[0, 0, 1, 1] = 4.0
    nowhere = everywhere.clone()
    nowhere[0, 0, 1, 1] = False

    assert _focal_loss(heat, wanted, everywhere) > 10 * _focal_loss(found, wanted, everywhere)
    assert _focal_loss(heat, wanted, nowhere) < 0.1 * _focal_loss(heat, wanted, everywhere)


def test_the_class_loss_compares_only_with_absent_classes() -> None:
    heat, kind = torch.tensor([[1.0, 1.0, 5.0]]), torch.tensor([0])
    all_known = torch.ones(1, 3, dtype=torch.bool)
    alone, both = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.9]])

    # Compared with the third class, whose heat is higher, unless that class is present or unknown.
    assert _class_loss(heat, alone, all_known, kind).item() > 4
    assert _class_loss(heat, both, all_known, kind).item() == pytest.approx(math.log(2))
    assert _class_loss(heat, alone, torch.tensor([[True, True, False]]), kind).item() == pytest.approx(math.log(2))


def test_the_generalised_iou_is_one_for_the_same_box_and_small_far_away() -> None:
    box = torch.tensor([[2.0, 3.0, 4.0, 5.0]])

    assert _generalised_iou(box, box).item() == pytest.approx(1.0)
    # Half as wide to the right: 4 x 8 of 6 x 8 cells.
    assert _generalised_iou(torch.tensor([[2.0, 3.0, 2.0, 5.0]]), box).item() == pytest.approx(4 / 6)
    assert _generalised_iou(torch.tensor([[9.0, 9.0, 9.0, 9.0]]), box).item() < 0.2


def test_batches_have_both_sources_and_do_not_depend_on_the_number_of_loaders(shapes: list[Example]) -> None:
    bare = [replace(example, boxes=()) for example in shapes[6:]]
    batches = Batches([Source(shapes[:6], 0.5), Source(bare, 0.5)], SHAPES, size=4, count=6, seed=1)

    alone = list(DataLoader(batches, batch_size=None, sampler=range(6)))
    fed = list(DataLoader(batches, batch_size=None, sampler=range(6), num_workers=2))

    with_boxes = [len(set(batch["cells"][:, 0].tolist())) for batch in alone]
    assert 0 < sum(with_boxes) < 6 * 4
    for one, other in zip(alone, fed, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_few_very_long_pictures_fit_into_batches(shapes: list[Example], tmp_path: Path) -> None:
    long = []
    for number in range(2):
        Image.new("RGB", (30, 600), "white").save(tmp_path / f"long{number}.png")
        long.append(Example(tmp_path / f"long{number}.png", 30, 600, (), frozenset(SHAPES)))
    batches = Batches([Source([*shapes, *long], 1.0)], SHAPES, size=4, count=200, seed=1)

    assert all(batches[number]["image"].shape[0] == 4 for number in range(60))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_batches_are_full_even_with_few_pictures(shapes: list[Example], count: int) -> None:
    batches = Batches([Source(shapes[:count], 1.0)], SHAPES, size=4, count=12, seed=1)

    assert all(batches[number]["cells"].shape[1] == 4 for number in range(12))


def test_a_batch_of_a_number_is_always_the_same(shapes: list[Example]) -> None:
    batches = Batches([Source(shapes[:6], 0.5), Source(shapes[6:], 0.5)], SHAPES, size=8, count=9, seed=1)

    first, again, other = batches[3], batches[3], batches[4]

    assert all(torch.equal(first[name], again[name]) for name in first)
    assert first["image"].shape != other["image"].shape or not torch.equal(first["image"], other["image"])
    b, height, width, _ = first["image"].shape
    assert (b, first["heat"].shape) == (8, (8, 2, height // 4, width // 4))
    assert max(height, width) == VIEW_SIZE
    assert first["cells"][:, 0].max() <= 7
