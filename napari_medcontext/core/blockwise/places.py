"""Between which voxels of one grid those of another lie, and what is found there.

The numbers are those with which MONAI resamples the whole volume, rounding and all. They must be:
where a scan is exactly zero outside the patient, whether a voxel at the border stays so depends on
the last digit of its place, and with it what the intensities are scaled by.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.networks.utils import to_norm_affine
from torch.nn import functional

from napari_medcontext.core.blockwise.planes import Box
from napari_medcontext.core.volume import Volume

Places = npt.NDArray[np.float32]
"""Along one axis of a grid: where each voxel of another grid lies, in voxels."""

UNCHANGED = 1e-3
"""Up to which difference of affines MONAI leaves a volume of the same shape as it is."""


def places_of(target: Volume, source: Volume) -> tuple[Places, Places, Places]:
    """Return where a grid's voxels lie on another grid, along each axis of the other.

    Parameters
    ----------
    target
        The grid that is made; its axes run along those of the other, in any order and direction.
    source
        The grid that it is made of.
    """
    onto = np.linalg.solve(source.affine, target.affine)
    order = np.abs(onto[:3, :3]).argmax(axis=1)
    if source.shape == target.shape and (
        np.allclose(source.affine, target.affine, atol=UNCHANGED)
        or np.allclose(onto, np.eye(4), atol=UNCHANGED)
    ):
        x, y, z = (np.arange(side, dtype=np.float32) for side in source.shape)
        return x, y, z
    theta = to_norm_affine(torch.as_tensor(onto[None]).float(), source.shape, target.shape)
    # As torch has it: the last axis first.
    theta = theta[:, [2, 1, 0, 3]][:, :, [2, 1, 0, 3]]
    x, y, z = (
        _along(theta, axis, int(order[axis]), target.shape, source.shape[axis]) for axis in range(3)
    )
    return x, y, z


def needed(
    box: Box, places: Sequence[Places], shape: Sequence[int], reach: Sequence[int] = (0, 0, 0)
) -> Box:
    """Return the voxels of the other grid that a box is made of.

    Parameters
    ----------
    box
        On the grid that is made.
    places, shape
        Where its voxels lie on the other, and the shape of that.
    reach
        How many voxels around those next to a place count, along each axis.
    """
    x, y, z = (
        slice(
            max(0, int(along[part].min()) - more),
            min(side, int(along[part].max()) + 2 + more),
        )
        for part, along, side, more in zip(box, places, shape, reach, strict=True)
    )
    return x, y, z


def found_at(
    array: npt.NDArray[Any], start: Box, places: Sequence[Places], box: Box
) -> npt.NDArray[np.float32]:
    """Return what lies in a box, linear between the voxels of a part of the other grid.

    Parameters
    ----------
    array
        The part's voxels, axes ``(x, y, z)``.
    start
        Which part of the other grid it is, from ``needed``.
    places, box
        Where the voxels lie, and which of them are wanted.
    """
    for axis in range(3):
        along = places[axis][box[axis]]
        below = np.floor(along)
        share = along - below
        first = below.astype(int) - start[axis].start
        low = array.take(first, axis).astype(np.float32, copy=False)
        if share.any():
            change = array.take(np.minimum(first + 1, array.shape[axis] - 1), axis)
            change = change.astype(np.float32, copy=False) - low
            change *= share.reshape([-1 if at == axis else 1 for at in range(3)])
            low += change
        array = low
    return array


def _along(theta: torch.Tensor, axis: int, other: int, shape: Sequence[int], side: int) -> Places:
    """Return places along an axis of the source, which runs along an axis of the target."""
    sizes = [length if at == other else 1 for at, length in enumerate(shape)]
    grid = functional.affine_grid(theta[:, :3], [1, 1, *sizes], align_corners=False)
    normal = grid[..., 2 - axis].ravel()
    places = ((normal + 1) * side - 1) / 2
    return np.asarray(places.clamp(0, side - 1), dtype=np.float32)
