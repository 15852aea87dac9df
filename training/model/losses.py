"""The losses of the detector: of the heatmaps, of the classes, of the boxes before and after their refinement."""

import torch
from torch import Tensor
from torch.nn import functional

from training.data.batches import Batch
from training.model.layout import MAX_LOG_DISTANCE
from training.model.network import CenterNet

MAX_ABSENT_HEAT = 0.05
"""A class is absent at a cell if its target heat there is below this."""
MIN_DISTANCE = 0.05
"""Cells. After the refinement, a side counts as at least this far from the centre of its box."""


def losses(network: CenterNet, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The losses of a batch, each divided by the number of its boxes: of the heatmaps, of the classes, of the boxes as
    the network predicts them, and of the boxes after the border refinement."""
    pixels = batch["image"].permute(0, 3, 1, 2).float() / 127.5 - 1.0
    # bfloat16 is precise enough. It is used on GPUs only, because most CPUs have no fast instructions for it.
    with torch.autocast(pixels.device.type, torch.bfloat16, enabled=pixels.is_cuda):
        heat, distances, edges = network(pixels)
    heat = heat.float()
    picture, kind, row, column = batch["cells"].unbind(1)
    b, classes, h, w = heat.shape
    sides = distances.float().reshape(b, classes, 4, h, w)[picture, kind, :, row, column]
    boxes = batch["weights"].sum().clamp(min=1.0)
    sides = torch.exp(sides.clamp(max=MAX_LOG_DISTANCE))
    overlap = _generalised_iou(sides, batch["sides"])
    # Only the boxes at the peaks are refined, as in the detector.
    peaks = (batch["heat"][picture, kind, row, column] == 1).nonzero()[:, 0]
    centres = torch.stack((column, row), dim=1)[peaks] + 0.5
    corners = torch.cat((centres - sides[peaks, :2], centres + sides[peaks, 2:]), dim=1).detach()
    corners = network.borders(edges.float(), picture[peaks], corners, kind[peaks])
    refined = torch.cat((centres - corners[:, :2], corners[:, 2:] - centres), dim=1).clamp(min=MIN_DISTANCE)
    refined_overlap = _generalised_iou(refined, batch["sides"][peaks])
    cells = picture, slice(None), row, column
    class_loss = _class_loss(heat[cells], batch["heat"][cells], batch["mask"][cells], kind)
    return (
        _focal_loss(heat, batch["heat"], batch["mask"]) / boxes,
        (class_loss * batch["weights"]).sum() / boxes,
        ((1 - overlap) * batch["weights"]).sum() / boxes,
        (1 - refined_overlap).sum() / boxes,
    )


def _focal_loss(heat: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """The focal loss of arXiv 1904.07850, equation 1, with alpha 2 and beta 4, summed over the cells of the mask.

    heat [b, c, h, w] as logits; target [b, c, h, w], 0..1; mask bool [b, c, h, w] -> a scalar.
    """
    probability = torch.sigmoid(heat)
    at_peak = (target == 1).float()
    hit = functional.logsigmoid(heat) * (1 - probability) ** 2 * at_peak
    miss = functional.logsigmoid(-heat) * probability**2 * (1 - target) ** 4 * (1 - at_peak)
    return -((hit + miss) * mask).sum()


def _class_loss(heat: Tensor, target: Tensor, mask: Tensor, kind: Tensor) -> Tensor:
    """Cross entropy [k] at k cells between the right class, `kind` [k], and the classes that are absent for certain.

    heat, target and mask are [k, c]. With the focal loss alone, two classes that differ only in a detail (a ring or a
    square) both end at a score of one half: while their weights are the same, no gradient separates their features.
    """
    others = mask & (target < MAX_ABSENT_HEAT)
    others[torch.arange(len(kind), device=kind.device), kind] = True
    return functional.cross_entropy(heat.masked_fill(~others, -torch.inf), kind, reduction="none")


def _generalised_iou(predicted: Tensor, target: Tensor) -> Tensor:
    """Generalised IoU (arXiv 1902.09630) [n], -1..1, of pairs of boxes around the same point.

    Both are [n, 4]: distances from that point to the left, top, right and bottom side.
    """
    inner = torch.minimum(predicted, target)
    outer = torch.maximum(predicted, target)
    intersection = (inner[:, 0] + inner[:, 2]) * (inner[:, 1] + inner[:, 3])
    hull = (outer[:, 0] + outer[:, 2]) * (outer[:, 1] + outer[:, 3])
    areas = [(s[:, 0] + s[:, 2]) * (s[:, 1] + s[:, 3]) for s in (predicted, target)]
    union = areas[0] + areas[1] - intersection
    return intersection / union - (hull - union) / hull
