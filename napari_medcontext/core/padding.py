"""Continue the edges of an image that is smaller than what a network takes at once."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def padded_to(image: Tensor, least: tuple[int, int, int]) -> tuple[Tensor, tuple[slice, ...]]:
    """Continue the edges of an image, as much on both sides, up to a least size.

    Parameters
    ----------
    image
        Its last three axes are x, y, z.
    least
        Voxels along x, y, z to reach; a longer axis is left as it is.

    Returns
    -------
    image, inner
        The larger image (the same where it is large enough), and where along x, y, z the
        given one lies in it.
    """
    sides = image.shape[-3:]
    missing = [max(0, want - have) for want, have in zip(least, sides, strict=True)]
    before = [gap // 2 for gap in missing]
    inner = tuple(slice(b, b + side) for b, side in zip(before, sides, strict=True))
    if not any(missing):
        return image, inner
    widths = [(0, 0)] * (image.ndim - 3)
    widths += [(b, gap - b) for b, gap in zip(before, missing, strict=True)]
    return torch.as_tensor(np.pad(image.numpy(), widths, mode="edge")), inner
