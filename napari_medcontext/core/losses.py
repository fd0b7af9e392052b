"""The losses of MedContext, computed in float32 even where the network computes in less."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Protocol

import torch
from monai.losses import DiceLoss
from torch import Tensor
from torch.nn import functional

from napari_medcontext.core.classes import UNKNOWN
from napari_medcontext.core.outputs import Outputs


@dataclass(frozen=True)
class Totals:
    """What a loss is a mean over, where only some of these samples are at hand.

    What losses say of parts of a batch, each with the totals of all of it, adds up to the loss
    of the batch, and so do gradients.

    Parameters
    ----------
    samples
        How many there are altogether.
    known
        Voxels of which the class is known, of all of them: one count for each resolution.
    """

    samples: int
    known: Tensor


@cache
def _dice_loss() -> DiceLoss:
    return DiceLoss(squared_pred=True, smooth_nr=0.0, smooth_dr=1e-6)


def dice_ce(outputs: Outputs, labels: Tensor, of: Totals | None = None) -> Tensor:
    """Return the Dice-cross-entropy loss (Eq. 3, as meant).

    Parameters
    ----------
    outputs
        Logits ``(B, K, x, y, z)``, or for deep supervision several, finest first: each next
        one counts half as much, and all weights sum to 1.
    labels
        Class indices, shape ``(B, 1, x, y, z)``. Voxels that are ``UNKNOWN`` enter neither
        part, and get no gradient.
    of
        All samples, where these are some of them.

    Notes
    -----
    Equation 3 is misprinted (the cross-entropy stands inside the Dice denominator); what is
    meant, and what the released code uses, is the sum of both losses.
    """
    return _over_resolutions(_dice_ce, outputs, labels, of)


def dice_bce(
    outputs: Outputs, labels: Tensor, membership: Tensor, of: Totals | None = None
) -> Tensor:
    """Return the Dice loss plus the binary cross-entropy of regions, which may be nested.

    Parameters
    ----------
    outputs, labels, of
        As in ``dice_ce``, with one channel of logits for each region.
    membership
        Which class belongs to which region, boolean, shape ``(regions, classes)``.
    """
    return _over_resolutions(partial(_dice_bce, membership=membership), outputs, labels, of)


class _Loss(Protocol):
    def __call__(self, logits: Tensor, labels: Tensor, of: Totals | None, level: int) -> Tensor: ...


def _over_resolutions(loss: _Loss, outputs: Outputs, labels: Tensor, of: Totals | None) -> Tensor:
    if isinstance(outputs, Tensor):
        return loss(outputs, labels, of, 0)
    shares = [0.5**level for level in range(len(outputs))]
    losses = [
        share / sum(shares) * loss(logits, labels_at(labels, logits.shape[2:]), of, level)
        for level, (share, logits) in enumerate(zip(shares, outputs, strict=True))
    ]
    return torch.stack(losses).sum()


def _dice_ce(logits: Tensor, labels: Tensor, of: Totals | None, level: int) -> Tensor:
    logits, indices = _precise(logits), labels[:, 0].long()
    known = indices != UNKNOWN
    classes = torch.arange(logits.shape[1], device=logits.device).view(1, -1, 1, 1, 1)
    truth = (indices[:, None] == classes).float()
    dice: Tensor = _dice_loss()(logits.softmax(1) * known[:, None], truth)
    entropy = functional.cross_entropy(logits, indices, ignore_index=UNKNOWN, reduction="sum")
    count = known.sum() if of is None else of.known[level]
    return _part(dice, len(logits), of.samples if of else None) + entropy / count.clamp_min(1)


def _dice_bce(
    logits: Tensor, labels: Tensor, of: Totals | None, level: int, membership: Tensor
) -> Tensor:
    logits, indices = _precise(logits), labels[:, 0].long()
    known = (indices != UNKNOWN)[:, None]
    belongs = membership[:, indices.masked_fill(~known[:, 0], 0)].transpose(0, 1)
    truth = (belongs & known).to(logits.dtype)
    dice: Tensor = _dice_loss()(logits.sigmoid() * known, truth)
    entropy = functional.binary_cross_entropy_with_logits(
        logits, truth, weight=known.to(logits.dtype), reduction="sum"
    )
    count = known.sum() if of is None else of.known[level]
    entropy = entropy / (count * logits.shape[1]).clamp_min(1)
    return _part(dice, len(logits), of.samples if of else None) + entropy


def _precise(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def _part(mean: Tensor, samples: int, of: int | None) -> Tensor:
    """Return what a mean over some samples adds to the mean over all of them."""
    return mean if of is None else mean * (samples / of)


def known_voxels(outputs: Outputs, labels: Tensor) -> list[Tensor]:
    """Return how many voxels have a known class, at each resolution of the outputs.

    Parameters
    ----------
    outputs, labels
        As in ``dice_ce``.
    """
    known = (labels != UNKNOWN).float()
    # A voxel at a lower resolution has a class if any of those in it has: see ``labels_at``.
    return [
        functional.adaptive_max_pool3d(known, logits.shape[2:]).long().sum()
        for logits in ([outputs] if isinstance(outputs, Tensor) else outputs)
    ]


def labels_at(labels: Tensor, shape: Sequence[int]) -> Tensor:
    """Return labels at a lower resolution: in each voxel the known class of the largest share.

    The nearest voxel would not do: at half the resolution each new voxel's centre lies as far
    from two old ones, and to take the first of them moves all labels by half an old voxel. Of
    equal shares the lowest class is taken.

    Parameters
    ----------
    labels
        Shape ``(B, 1, x, y, z)``.
    shape
        The sides wanted, each a part of the old one.
    """
    x, y, z = shape
    if tuple(labels.shape[2:]) == (x, y, z):
        return labels
    largest = torch.zeros((len(labels), 1, x, y, z), device=labels.device)
    chosen = torch.full_like(largest, UNKNOWN, dtype=labels.dtype)
    for value in torch.unique(labels).tolist():
        if value == UNKNOWN:
            continue
        share = functional.adaptive_avg_pool3d((labels == value).float(), (x, y, z))
        chosen = chosen.masked_fill(share > largest, value)
        largest = torch.maximum(largest, share)
    return chosen


def consistency(masked_logits: Tensor, teacher_logits: Tensor, of: int | None = None) -> Tensor:
    """Return how far the student's masked view is from the teacher's whole view (Eq. 2).

    ``‖F_s^M − F_t‖² / ‖F_t‖²``, with norms over the classes and voxels of one sample, then
    the mean over the batch. The teacher's logits get no gradient.

    Parameters
    ----------
    masked_logits, teacher_logits
        Shape ``(B, K, x, y, z)``.
    of
        How many samples there are altogether, where these are some of them.
    """
    target = _precise(teacher_logits.detach()).flatten(1)
    difference = _precise(masked_logits).flatten(1) - target
    energy = target.square().sum(1).clamp_min(torch.finfo(torch.float32).tiny)
    return _part((difference.square().sum(1) / energy).mean(), len(target), of)
