"""The losses of MedContext, computed in float32 whatever the network computes in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

import torch
from monai.losses import DiceLoss
from torch import Tensor
from torch.nn import functional

from napari_medcontext.core.classes import UNKNOWN
from napari_medcontext.core.outputs import Outputs


@cache
def _dice_loss() -> DiceLoss:
    return DiceLoss(squared_pred=True, smooth_nr=0.0, smooth_dr=1e-6)


def dice_ce(outputs: Outputs, labels: Tensor) -> Tensor:
    """Return the Dice-cross-entropy loss (Eq. 3, as meant).

    Parameters
    ----------
    outputs
        Logits ``(B, K, x, y, z)``, or for deep supervision several, finest first: each next
        one counts half as much, and all weights sum to 1.
    labels
        Class indices, shape ``(B, 1, x, y, z)``. Voxels that are ``UNKNOWN`` enter neither
        part, and get no gradient.

    Notes
    -----
    Equation 3 is misprinted (the cross-entropy stands inside the Dice denominator); what is
    meant, and what the released code uses, is the sum of both losses.
    """
    return _over_resolutions(_dice_ce, outputs, labels)


def dice_bce(outputs: Outputs, labels: Tensor, membership: Tensor) -> Tensor:
    """Return the Dice loss plus the binary cross-entropy of regions, which may be nested.

    Parameters
    ----------
    outputs, labels
        As in ``dice_ce``, with one channel of logits for each region.
    membership
        Which class belongs to which region, boolean, shape ``(regions, classes)``.
    """
    return _over_resolutions(partial(_dice_bce, membership=membership), outputs, labels)


def _over_resolutions(
    loss: Callable[[Tensor, Tensor], Tensor], outputs: Outputs, labels: Tensor
) -> Tensor:
    if isinstance(outputs, Tensor):
        return loss(outputs, labels)
    shares = [0.5**level for level in range(len(outputs))]
    losses = [
        share / sum(shares) * loss(logits, labels_at(labels, logits.shape[2:]))
        for share, logits in zip(shares, outputs, strict=True)
    ]
    return torch.stack(losses).sum()


def _dice_ce(logits: Tensor, labels: Tensor) -> Tensor:
    logits, indices = logits.float(), labels[:, 0].long()
    known = indices != UNKNOWN
    classes = torch.arange(logits.shape[1], device=logits.device).view(1, -1, 1, 1, 1)
    truth = (indices[:, None] == classes).float()
    dice: Tensor = _dice_loss()(logits.softmax(1) * known[:, None], truth)
    entropy = functional.cross_entropy(logits, indices, ignore_index=UNKNOWN, reduction="sum")
    return dice + entropy / known.sum().clamp_min(1)


def _dice_bce(logits: Tensor, labels: Tensor, membership: Tensor) -> Tensor:
    logits, indices = logits.float(), labels[:, 0].long()
    known = (indices != UNKNOWN)[:, None]
    belongs = membership[:, indices.masked_fill(~known[:, 0], 0)].transpose(0, 1)
    truth = (belongs & known).float()
    dice: Tensor = _dice_loss()(logits.sigmoid() * known, truth)
    entropy = functional.binary_cross_entropy_with_logits(
        logits, truth, weight=known.float(), reduction="sum"
    )
    return dice + entropy / (known.sum() * logits.shape[1]).clamp_min(1)


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


def consistency(masked_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Return how far the student's masked view is from the teacher's whole view (Eq. 2).

    ``‖F_s^M − F_t‖² / ‖F_t‖²``, with norms over the classes and voxels of one sample, then
    the mean over the batch. The teacher's logits get no gradient.

    Parameters
    ----------
    masked_logits, teacher_logits
        Shape ``(B, K, x, y, z)``.
    """
    target = teacher_logits.detach().float().flatten(1)
    difference = masked_logits.float().flatten(1) - target
    energy = target.square().sum(1).clamp_min(torch.finfo(torch.float32).tiny)
    return (difference.square().sum(1) / energy).mean()
