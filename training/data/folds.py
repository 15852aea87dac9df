"""Folds for cross-validation. Pictures of the same thing are in one fold, so that no model is measured on pictures like
those of its training.

Two pictures show the same thing if the content of their boxes is similar, or if their boxes have the same layout. A
part that many pictures have in common, like the header of an app, has little weight.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from random import Random

import numpy as np
import numpy.typing as npt
from PIL import Image

from detectors.pictures.decode import decode
from training.boxes import Box
from training.data.datasets import Example

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

PATCH_SIZE = (48, 16)
"""Width and height to which the ink of a box is scaled for the comparison. Ink is what differs from the background."""
MIN_INK = 6.0
"""Pixels that differ from the background by at most this many of 255 grey levels are no ink."""
MIN_CORRELATION, MAX_LOG_RATIO_DIFFERENCE = 0.75, 0.2
"""Two patches match if their correlation (1 for equal patches) and the logarithms of their aspect ratios are within
these limits."""
MIN_SHARED_SHARE, MIN_SHARED_WEIGHT = 0.25, 1.0
"""Two pictures show the same thing if their matching parts have at least this share of the weight of one picture and
at least this weight."""
MIN_IOU, MIN_MATCHED_SHARE, MIN_MATCHED_BOXES = 0.3, 0.5, 5
"""They also show the same thing if enough boxes match: at least MIN_MATCHED_BOXES, and more than MIN_MATCHED_SHARE of
the boxes of the picture with more boxes. Two boxes match if their IoU is above MIN_IOU after both layouts were scaled
to the same size."""


def folds(examples: Sequence[Example], count: int, seed: int) -> list[list[Example]]:
    """`count` disjoint folds of all examples. The boxes of each label are spread as evenly as the groups allow.

    The same seed gives the same folds. Raises `ValueError` if there are fewer groups of pictures than folds.
    """
    order = list(groups(examples))
    if count < 2 or len(order) < count:
        raise ValueError(f"{len(examples)} pictures of {len(order)} different things don't make {count} folds.")
    Random(seed).shuffle(order)
    total = Counter(box.label for example in examples for box in example.boxes)
    # Groups with the rarest label come first, because its boxes are the hardest to spread. Among them, groups with most
    # boxes of that label come first.
    rarity = sorted(total, key=lambda label: (total[label], label))
    counted = [(group, Counter(box.label for example in group for box in example.boxes)) for group in order]
    last = (len(rarity), 0)
    counted.sort(key=lambda one: next(((n, -one[1][label]) for n, label in enumerate(rarity) if one[1][label]), last))
    result: list[list[Example]] = [[] for _ in range(count)]
    box_counts = [Counter[str]() for _ in range(count)]
    for group, boxes in counted:
        first = next((label for label in rarity if boxes[label]), None)

        def fullness(fold: int, first: str | None = first) -> tuple[float, float, int]:
            """Sort key of a fold: boxes of this label, share of the boxes of all labels, pictures."""
            share = sum(box_counts[fold][label] / total[label] for label in total)
            return box_counts[fold][first] if first else 0, share, len(result[fold])

        # Empty folds come first, so that none stays empty.
        chosen = min(range(count), key=lambda fold: (bool(result[fold]), *fullness(fold)))
        result[chosen] += group
        box_counts[chosen] += boxes
    return result


def groups(examples: Sequence[Example]) -> list[list[Example]]:
    """Groups of examples that show the same thing, in the order of the examples."""
    same = _same_parts(examples) | _same_layout(examples)
    group = list(range(len(examples)))
    for first, second in np.argwhere(np.triu(same, 1)):
        old, new = group[second], group[first]
        group = [new if number == old else number for number in group]
    found: dict[int, list[Example]] = {}
    for number, example in zip(group, examples, strict=True):
        found.setdefault(number, []).append(example)
    return list(found.values())


def _same_parts(examples: Sequence[Example]) -> Bools:
    """bool [n, n] for n examples: whether two examples have enough matching parts."""
    n = len(examples)
    found = [(*part, number) for number, example in enumerate(examples) for part in _patches(example)]
    if not found:
        return np.zeros((n, n), np.bool_)
    patches, shapes, owners = zip(*found, strict=True)
    every, log_shape, owner = np.stack(patches), np.log(np.array(shapes)), np.array(owners)
    # has[i, j]: whether example j has a patch like patch i.
    has = np.zeros((len(every), n), np.bool_)
    for i, patch in enumerate(every):
        alike = (every @ patch > MIN_CORRELATION) & (np.abs(log_shape - log_shape[i]) < MAX_LOG_RATIO_DIFFERENCE)
        has[i, owner[alike]] = True
    # A part that one or two pictures have weighs 1, a part that 20 pictures have weighs a tenth.
    weight = 2 / np.maximum(2, has.sum(axis=1))
    shared = np.zeros((n, n))
    np.add.at(shared, owner, weight[:, None] * has)
    share = shared / np.maximum(np.bincount(owner, weight, n), 1e-9)[:, None]
    enough: Bools = (share >= MIN_SHARED_SHARE) & (shared >= MIN_SHARED_WEIGHT)
    return enough | enough.T


def _patches(example: Example) -> list[tuple[Floats, float]]:
    """For each box, or for a whole picture without boxes: the ink as a vector of length 1, and its aspect ratio."""
    decoded = decode(example.file.read_bytes())
    grey = Image.fromarray(decoded.pixels).convert("L")
    whole = Box("", 0, 0, example.width, example.height)
    patches = []
    for box in (*example.boxes, *example.unclear) or (whole,):
        corners = (int(box.x1), int(box.y1), int(np.ceil(box.x2)), int(np.ceil(box.y2)))
        levels = np.asarray(grey.crop(corners), np.float32)
        ink = np.abs(levels - np.median(levels))
        visible = ink > max(MIN_INK, 0.3 * float(ink.max()))
        rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
        if not rows.size:
            continue
        ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        patch = np.asarray(Image.fromarray(ink).resize(PATCH_SIZE, Image.Resampling.BOX)).ravel()
        patch = patch - patch.mean()
        patches.append((patch / max(1e-6, float(np.linalg.norm(patch))), ink.shape[1] / ink.shape[0]))
    return patches


def _same_layout(examples: Sequence[Example]) -> Bools:
    """bool [n, n] for n examples: whether the boxes of two examples have the same layout."""
    same = np.zeros((len(examples), len(examples)), np.bool_)
    layouts = [_layout(example.boxes) for example in examples]
    for i, j in combinations(range(len(examples)), 2):
        fewer, more = sorted((len(examples[i].boxes), len(examples[j].boxes)))
        if fewer >= MIN_MATCHED_BOXES and fewer > MIN_MATCHED_SHARE * more:
            matched = _matched(examples[i], examples[j], layouts[i], layouts[j])
            same[i, j] = same[j, i] = matched >= MIN_MATCHED_BOXES and matched > MIN_MATCHED_SHARE * more
    return same


def _layout(boxes: Sequence[Box]) -> Floats:
    """The corners of k boxes, [k, 4], scaled to 0..1 within the hull of the boxes."""
    if not boxes:
        return np.zeros((0, 4), np.float32)
    corners = np.array([[box.x1, box.y1, box.x2, box.y2] for box in boxes], np.float32)
    low, high = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
    within: Floats = (corners - np.tile(low, 2)) / np.tile(high - low, 2)
    return within


def _matched(first: Example, second: Example, a: Floats, b: Floats) -> int:
    """How many boxes match a box of the same label in the other example, each counted once, best pairs first."""
    size = (np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])).clip(0)
    both = size.prod(axis=2)
    areas = [(corners[:, 2:] - corners[:, :2]).prod(axis=1) for corners in (a, b)]
    iou = both / (areas[0][:, None] + areas[1][None] - both)
    labels = [np.array([box.label for box in example.boxes]) for example in (first, second)]
    iou[labels[0][:, None] != labels[1][None]] = 0
    count = 0
    while iou.max() > MIN_IOU:
        i, j = np.unravel_index(int(iou.argmax()), iou.shape)
        iou[i, :] = iou[:, j] = 0
        count += 1
    return count
