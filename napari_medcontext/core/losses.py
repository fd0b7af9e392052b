"""The losses of MedContext, computed in float32 whatever the network computes in."""

from __future__ import annotations

from functools import cache

import torch
from monai.losses import DiceCELoss
from torch import Tensor


@cache
def _dice_ce_loss() -> DiceCELoss:
    return DiceCELoss(
        to_onehot_y=True, softmax=True, squared_pred=True, smooth_nr=0.0, smooth_dr=1e-6
    )


def dice_ce(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the Dice-cross-entropy loss (Eq. 3, as meant).

    Parameters
    ----------
    logits
        Shape ``(B, K, x, y, z)``.
    labels
        Class indices, shape ``(B, 1, x, y, z)``.

    Notes
    -----
    Equation 3 is misprinted (the cross-entropy stands inside the Dice denominator); what is
    meant, and what the released code uses, is the sum of both losses.
    """
    loss: Tensor = _dice_ce_loss()(logits.float(), labels)
    return loss


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
