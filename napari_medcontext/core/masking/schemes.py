"""Draw what is hidden. All of it is chance in one place; applying a mask is deterministic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medcontext.core.masking.blocks import VOXEL, Size, block_voxels
from napari_medcontext.core.masking.structure import draw_structure
from napari_medcontext.core.method_settings import MaskingSettings

Mask = npt.NDArray[np.bool_]


def draw_mask(
    settings: MaskingSettings,
    shape: Size,
    *,
    spacing: tuple[float, float, float],
    axis: int,
    rng: np.random.Generator,
    labels: npt.NDArray[Any] | None = None,
    unit: Size = VOXEL,
) -> Mask:
    """Draw the mask of one sample as the settings say.

    Parameters
    ----------
    settings
        Scheme, ratio and size of what is hidden.
    shape
        Spatial shape ``(x, y, z)``.
    spacing
        Voxel size in millimetres.
    axis
        Index of the depth axis, along which columns run.
    rng
        Source of randomness.
    labels
        Class indices of that shape, 0 and ``UNKNOWN`` for nothing; used by the scheme
        ``"structure"`` alone.
    unit
        Smallest box in voxels that can be hidden, see ``mask_unit``.

    Returns
    -------
    numpy.ndarray
        Boolean, shape ``(x, y, z)``; true where hidden.
    """
    ratio = settings.ratio
    if settings.ratio_range is not None:
        ratio = float(rng.uniform(*settings.ratio_range))
    block = block_voxels(settings, spacing, unit)
    if settings.scheme == "tube":
        return draw_tubes(shape, ratio=ratio, block=block, axis=axis, rng=rng)
    if settings.scheme == "blocks":
        return draw_blocks(shape, ratio=ratio, block=block, rng=rng)
    return draw_structure(shape, ratio=ratio, block=block, labels=labels, unit=unit, rng=rng)


def draw_tubes(
    shape: Size, *, ratio: float, block: Size, axis: int, rng: np.random.Generator
) -> Mask:
    """Draw a tube mask: an exact share of the in-plane blocks, the same in every slice.

    Parameters
    ----------
    shape
        Spatial shape ``(x, y, z)``.
    ratio
        Share of the blocks to hide, δ; the count is rounded, and at least one block is
        hidden and one is left.
    block
        Sides of a block in voxels; the last block of a row is cut where it does not fit.
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
    plane = [index for index in range(3) if index != axis]
    hidden = _hidden_cells([shape[i] for i in plane], [block[i] for i in plane], ratio, rng)
    return np.broadcast_to(np.expand_dims(hidden, axis), shape).copy()


def draw_blocks(shape: Size, *, ratio: float, block: Size, rng: np.random.Generator) -> Mask:
    """Draw an exact share of the blocks in space, each independent of its neighbours.

    Parameters
    ----------
    shape, ratio, block, rng
        As for ``draw_tubes``; the block's three sides count.

    Returns
    -------
    numpy.ndarray
        Boolean, shape ``(x, y, z)``; true where hidden.
    """
    return _hidden_cells(shape, block, ratio, rng)


def _hidden_cells(
    sides: Sequence[int], cell: Sequence[int], ratio: float, rng: np.random.Generator
) -> Mask:
    """Cut a box of any number of axes into cells and hide an exact share of them."""
    grid = [-(-side // width) for side, width in zip(sides, cell, strict=True)]
    cells = int(np.prod(grid))
    count = min(max(round(ratio * cells), 1), max(cells - 1, 1))
    hidden = np.zeros(cells, dtype=bool)
    hidden[rng.permutation(cells)[:count]] = True
    hidden = hidden.reshape(grid)
    for index, width in enumerate(cell):
        hidden = hidden.repeat(width, axis=index)
    return hidden[tuple(slice(side) for side in sides)]
