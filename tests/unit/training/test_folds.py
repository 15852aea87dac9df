from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.boxes import Box
from training.data.datasets import Example
from training.data.folds import folds, groups

PART = (40, 16)
"""Width and height of the parts that the pictures here are made of."""


class Album:
    """Draws pictures of parts. Each part has a number and a random pattern."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def picture(
        self,
        name: str,
        parts: list[int],
        *,
        places: list[tuple[int, int]] | None = None,
        ground: int = 255,
        labels: list[str] | None = None,
    ) -> Example:
        """Draws the parts below each other, or with their top left corners at `places`."""
        places = places or [(10, 10 + 30 * number) for number in range(len(parts))]
        image = Image.new("L", (200, 300), ground)
        boxes = []
        for number, (part, (x, y)) in enumerate(zip(parts, places, strict=True)):
            pattern = np.random.default_rng(part).choice([ground, 255 - ground], (PART[1] // 4, PART[0] // 4))
            image.paste(Image.fromarray(pattern.astype(np.uint8)).resize(PART, Image.Resampling.NEAREST), (x, y))
            label = labels[number] if labels else "text"
            boxes.append(Box(label, x - 3, y - 2, x + PART[0] + 5, y + PART[1] + 4))
        file = self._folder / f"{name}.png"
        image.save(file)
        return Example(file, *image.size, tuple(boxes), frozenset({"text", "rare"}))


@pytest.fixture
def album(tmp_path: Path) -> Album:
    return Album(tmp_path)


def names(of: list[list[Example]]) -> list[list[str]]:
    return [[example.file.stem for example in group] for group in of]


def test_pictures_with_the_same_parts_in_other_places_are_one_group(album: Album) -> None:
    first = album.picture("first", [1, 2, 3])
    other = album.picture("other", [4, 5, 6])
    again = album.picture("again", [3, 9, 1], places=[(120, 200), (20, 30), (60, 100)], ground=0)

    assert names(groups([first, other, again])) == [["first", "again"], ["other"]]


def test_a_picture_that_is_part_of_another_is_in_its_group(album: Album) -> None:
    piece = album.picture("piece", [1, 2])
    whole = album.picture("whole", list(range(9)))

    assert names(groups([piece, whole])) == [["piece", "whole"]]


def test_a_header_that_many_pictures_share_makes_no_group(album: Album) -> None:
    places = [[(10, 10), (10, 40), (20 * n, 80), (100, 30 * n + 60)] for n in range(7)]
    family = [album.picture(str(n), [1, 2, 10 * n, 10 * n + 1], places=places[n]) for n in range(1, 7)]

    assert len(groups(family)) == 6
    assert len(groups(family[:2])) == 1  # parts that only two pictures share make a group


def test_boxes_in_the_same_places_are_one_group_at_any_size(album: Album) -> None:
    places = [(10, 10), (60, 40), (10, 70), (100, 100), (10, 130), (90, 160)]
    wider = [(x + 50, y + y // 3) for x, y in places]
    first = album.picture("first", [1, 2, 3, 4, 5, 6], places=places)
    second = album.picture("second", [11, 12, 13, 14, 15, 16], places=wider)
    other_labels = album.picture("labels", [21, 22, 23, 24, 25, 26], places=places, labels=["rare"] * 6)

    assert names(groups([first, second, other_labels])) == [["first", "second"], ["labels"]]


def test_pictures_without_boxes_are_compared_as_a_whole(album: Album) -> None:
    bare = [
        Example(one.file, one.width, one.height, (), one.known)
        for one in (album.picture("a", [1, 2]), album.picture("b", [1, 2]), album.picture("c", [3, 4]))
    ]

    assert names(groups(bare)) == [["a", "b"], ["c"]]


def test_every_example_is_in_one_fold_and_a_group_is_never_split(album: Album) -> None:
    twins = [album.picture(f"{n}{which}", [10 * n, 10 * n + 1]) for n in range(1, 7) for which in "ab"]

    made = folds(twins, 3, seed=1)

    assert sorted(name for fold in names(made) for name in fold) == sorted(one.file.stem for one in twins)
    for fold in names(made):
        assert set(Counter(name[0] for name in fold).values()) == {2}


def test_boxes_of_the_rarest_label_are_spread_first(album: Album) -> None:
    rare = [album.picture(f"r{n}", [10 * n, 10 * n + 1], labels=["rare", "text"]) for n in range(1, 5)]
    common = [album.picture(f"c{n}", [100 * n + part for part in range(4)], places=spots(n)) for n in range(1, 9)]

    made = folds(rare + common, 4, seed=0)

    counts = [Counter(box.label for example in fold for box in example.boxes) for fold in made]
    assert [count["rare"] for count in counts] == [1, 1, 1, 1]
    assert [count["text"] for count in counts] == [9, 9, 9, 9]


def test_boxes_are_spread_rather_than_pictures(album: Album) -> None:
    counts = [3, 1, 1, 1]
    rare = [album.picture(f"{n}", [10 * n + k for k in range(c)], labels=["rare"] * c) for n, c in enumerate(counts)]

    made = folds(rare, 2, seed=0)

    assert sorted(len(fold) for fold in made) == [1, 3]


def spots(n: int) -> list[tuple[int, int]]:
    """Four places. Each picture has a different arrangement."""
    # parts that only two pictures share make a group
    # two pictures with the same rare parts are one group
    rng = np.random.default_rng(n)
    return [(int(rng.integers(5, 150)), 10 + 60 * row) for row in range(4)]


def test_the_same_seed_makes_the_same_folds(album: Album) -> None:
    examples = [album.picture(str(n), [2 * n, 2 * n + 1]) for n in range(1, 9)]

    made = {str(names(folds(examples, 2, seed))) for seed in (1, 1, 1)}
    others = {str(names(folds(examples, 2, seed))) for seed in range(5)}

    assert len(made) == 1
    assert len(others) > 1


def test_too_few_different_pictures_are_refused(album: Album) -> None:
    same = [album.picture(name, [1, 2]) for name in "abc"]

    with pytest.raises(ValueError, match="3 pictures of 1 different things"):
        folds(same, 2, seed=0)
