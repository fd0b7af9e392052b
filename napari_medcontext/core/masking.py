"""Hide columns of a scan behind a learnable token (Eq. 1).

Drawing a mask is the only random part; applying it is deterministic.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from napari_medcontext.core.config import Axis
from napari_medcontext.core.errors import SettingsError

AXES = ("x", "y", "z")
CLEARLY_THICKER = 1.5
"""How many times thicker than both others an axis must be to become the depth axis."""


def choose_axis(axis: Axis, spacings: Sequence[tuple[float, float, float]]) -> int:
    """Return the index of the axis along which columns run.

    Parameters
    ----------
    axis
        The setting; ``"auto"`` takes the axis of clearly thickest slices, else z.
    spacings
        Spacing in millimetres of each scan as acquired, along x, y, z (right, anterior,
        superior).
    """
    if axis != "auto":
        return AXES.index(axis)
    median = np.median(np.asarray(spacings, dtype=float), axis=0)
    thickest = int(np.argmax(median))
    others = np.delete(median, thickest)
    return thickest if median[thickest] >= CLEARLY_THICKER * others.max() else AXES.index("z")


def check_block_size(block_size: int, patch_size: tuple[int, int, int], axis: int) -> None:
    """Refuse blocks of which one hides a whole patch.

    Parameters
    ----------
    block_size
        Side of a block in voxels.
    patch_size
        Size of a patch ``(x, y, z)`` in voxels.
    axis
        Index of the axis along which columns run.

    Raises
    ------
    SettingsError
        Naming the largest block that works.
    """
    largest = max(side for index, side in enumerate(patch_size) if index != axis) - 1
    if block_size > largest:
        raise SettingsError(
            f"A mask block of {block_size} voxels hides the whole of a patch of {patch_size} "
            f"voxels, seen along {AXES[axis]}, and leaves nothing to learn from. Lower the mask "
            f"block size to {largest} or less, or enlarge the patch."
        )


def draw_tubes(
    shape: tuple[int, int, int],
    *,
    ratio: float,
    block_size: int,
    axis: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.bool_]:
    """Draw a tube mask: an exact share of the in-plane blocks, the same in every slice.

    Parameters
    ----------
    shape
        Spatial shape ``(x, y, z)``.
    ratio
        Share of the blocks to hide, δ; the count is rounded, and at least one block is
        hidden and one is left.
    block_size
        Side of a block in voxels; the last block of a row is cut where it does not fit.
    axis
        The depth axis, along which the mask is constant.
    rng
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        Boolean, shape ``(x, y, z)``; true where hidden.

    References
    ----------
    Gani et al., MedContext, Sec. 3.2. The paper writes Bernoulli(δ); like its released
    code, this hides an exact count.
    """
    plane = [side for index, side in enumerate(shape) if index != axis]
    grid = [-(-side // block_size) for side in plane]
    blocks = grid[0] * grid[1]
    count = min(max(round(ratio * blocks), 1), max(blocks - 1, 1))
    chosen = np.zeros(blocks, dtype=bool)
    chosen[rng.permutation(blocks)[:count]] = True
    hidden = chosen.reshape(grid).repeat(block_size, axis=0).repeat(block_size, axis=1)
    hidden = hidden[: plane[0], : plane[1]]
    return np.broadcast_to(np.expand_dims(hidden, axis), shape).copy()


class MaskToken(nn.Module):
    """What stands where the scan is hidden: one learnable value a channel, H_ξ in Eq. 1.

    Parameters
    ----------
    channels
        Channels of the input.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(channels))

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Return X ∘ (1 − I) + H_ξ ∘ I.

        Parameters
        ----------
        image
            Shape ``(B, C, x, y, z)``.
        mask
            Boolean, shape ``(B, 1, x, y, z)``; true where hidden.
        """
        token = self.value.to(image.dtype).view(1, -1, 1, 1, 1)
        return torch.where(mask, token, image)
