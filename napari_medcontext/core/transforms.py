"""From a scan as acquired to what the network sees, and back onto the scan's own grid.

A prepared scan has RAS axes ``(x, y, z)``, one spacing and normalised intensities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.transforms import (
    Compose,
    RandAffined,
    RandFlipd,
    RandGaussianNoised,
    RandRotate90d,
    RandScaleIntensityd,
    RandShiftIntensityd,
    SpatialResample,
)
from scipy import ndimage
from torch import Tensor

from napari_medcontext.core.classes import UNKNOWN, largest
from napari_medcontext.core.intensities import FloatArray, normalise
from napari_medcontext.core.training_settings import DataSettings
from napari_medcontext.core.volume import Affine, Spacing, Volume, resampled_grid

Patch = Mapping[str, Tensor]

TRUNCATE = 4.0
"""At how many deviations the Gaussian ends that smooths a scan."""


def prepare_image(volume: Volume, spacing: Spacing, settings: DataSettings) -> Volume:
    """Return the scan with RAS axes, at a spacing, normalised.

    Where the grid becomes coarser the scan is smoothed first, so that fine structure does
    not alias.
    """
    upright = volume.reoriented("RAS")
    affine, shape = resampled_grid(upright, spacing)
    array = smoothed(upright, spacing)
    resampled = resample(array[None], upright.affine, affine, shape, mode="bilinear")[0]
    return Volume(normalise(resampled, settings), affine, volume.name)


def smoothing_reach(volume: Volume, spacing: Spacing) -> tuple[int, int, int]:
    """Return how many voxels away along each axis a voxel still counts when a scan is smoothed."""
    x, y, z = (int(TRUNCATE * sigma + 0.5) for sigma in _sigmas(volume, spacing))
    return x, y, z


def prepare_channels(
    channels: Sequence[Volume], spacing: Spacing, settings: DataSettings
) -> tuple[FloatArray, Volume]:
    """Return all channels of a scan, ``(C, x, y, z)``, each by itself as ``prepare_image`` does.

    The second is the first channel, with its grid.
    """
    prepared = [prepare_image(channel, spacing, settings) for channel in channels]
    return np.stack([channel.array for channel in prepared]), prepared[0]


def prepare_labels(labels: Volume, grid: Volume) -> npt.NDArray[Any]:
    """Return labels on a prepared scan's grid: at each voxel the class of the largest share.

    Each class is resampled as the scan is. The nearest voxel would not do: at twice the
    spacing every new voxel lies halfway between two old ones, and all labels would move by
    half an old voxel against the scan.

    A new voxel is unknown where no known old one lies inside it, and else of the class that has
    the largest share among those known. So slices that were annotated one by one survive on a
    coarser grid, where the unknown has the largest share everywhere.

    Parameters
    ----------
    labels
        Class indices 0, 1, 2 and so on, and ``UNKNOWN``.
    grid
        The prepared scan, over the same field of view.
    """
    upright = labels.reoriented("RAS")
    if _same_place(upright.affine, upright.shape, grid.affine, grid.shape):
        return np.ascontiguousarray(upright.array)
    unknown = upright.array == UNKNOWN
    shares = (
        smoothed(upright.with_array(upright.array == index), grid.spacing)
        for index in range(int(upright.array[~unknown].max(initial=0)) + 1)
    )
    moved = largest(
        resample(share[None], upright.affine, grid.affine, grid.shape, mode="bilinear")[0]
        for share in shares
    )
    if unknown.any():
        moved[~_any_inside(~unknown, grid.shape)] = UNKNOWN
    return moved


def _any_inside(known: npt.NDArray[np.bool_], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Say which voxels of another grid over the same field of view hold a voxel that is known.

    The centre of a voxel counts. Along an axis that becomes finer, the voxel in which the new
    one's centre lies is taken.
    """
    for axis, (have, want) in enumerate(zip(known.shape, shape, strict=True)):
        if want < have:
            homes = np.floor((np.arange(have) + 0.5) * want / have)
            known = np.logical_or.reduceat(known, np.searchsorted(homes, np.arange(want)), axis)
        else:
            known = known.take(np.floor((np.arange(want) + 0.5) * have / want).astype(int), axis)
    return known


def smoothed(volume: Volume, spacing: Spacing) -> FloatArray:
    """Return a volume's voxels, smoothed along the axes on which a spacing is coarser."""
    array = volume.array.astype(np.float32)
    sigmas = _sigmas(volume, spacing)
    if not sigmas.any():
        return array
    smooth: FloatArray = ndimage.gaussian_filter(array, sigmas, truncate=TRUNCATE)
    return smooth


def _sigmas(volume: Volume, spacing: Spacing) -> npt.NDArray[np.float64]:
    """Return by how many voxels a volume is smoothed along its axes; by none if none is coarser."""
    factors = np.asarray(spacing) / np.asarray(volume.spacing)
    if not (factors > 1.01).any():
        return np.zeros(3)
    return np.asarray(np.maximum(factors - 1.0, 0.0) / 2.0)


def resample(
    channels: npt.NDArray[Any] | Tensor,
    source: Affine,
    target: Affine,
    shape: tuple[int, ...],
    *,
    mode: str,
) -> npt.NDArray[Any]:
    """Resample ``(C, i, j, k)`` from one affine onto another grid; edges are continued."""
    tensor = torch.as_tensor(np.ascontiguousarray(channels))
    if _same_place(source, tuple(tensor.shape[1:]), target, shape):
        return np.asarray(channels)
    from monai.data import MetaTensor

    resampler = SpatialResample(mode=mode, padding_mode="border", dtype=torch.float32)
    moved = resampler(
        MetaTensor(tensor, affine=torch.as_tensor(source)),
        dst_affine=torch.as_tensor(target),
        spatial_size=shape,
    )
    return np.asarray(moved.as_tensor())


def class_map_on(
    probabilities: Tensor,
    affine: Affine,
    target: Volume,
    decide: Callable[[Iterable[FloatArray]], npt.NDArray[np.uint8]] = largest,
) -> npt.NDArray[np.uint8]:
    """Return what each voxel of another grid is.

    Classes are resampled one by one, so that memory does not grow with their number.

    Parameters
    ----------
    probabilities
        Shape ``(K, x, y, z)``, on the grid of ``affine``.
    target
        The volume whose grid, axes and orientation the answer gets.
    decide
        Makes one map of K; by default the index of the most probable class.
    """
    return decide(probability_on(probability, affine, target) for probability in probabilities)


def probability_on(probability: Tensor, affine: Affine, target: Volume) -> FloatArray:
    """Return one class's probability, shape ``(x, y, z)``, on another grid."""
    moved = resample(
        probability[None].float().cpu(), affine, target.affine, target.shape, mode="bilinear"
    )
    return np.asarray(moved[0], dtype=np.float32)


def _same_place(
    source: Affine, source_shape: tuple[int, ...], target: Affine, target_shape: tuple[int, ...]
) -> bool:
    return source_shape == target_shape and np.allclose(source, target, atol=1e-6)


def augmentation(
    settings: DataSettings, patch_size: tuple[int, int, int]
) -> Callable[[Patch], Patch] | None:
    """Return the random changes made to patches, or none.

    ``gentle`` turns by up to 15°, scales by up to 10 %, changes brightness and contrast and
    adds noise; left stays left. ``paper`` flips and turns by 90°, as the released code does.
    """
    if settings.augmentation == "none":
        return None
    both = ["image", "labels"]
    if settings.augmentation == "gentle":
        gentle: Callable[[Patch], Patch] = Compose(
            [
                RandAffined(
                    both,
                    prob=0.5,
                    rotate_range=(0.26, 0.26, 0.26),
                    scale_range=(0.1, 0.1, 0.1),
                    mode=("bilinear", "nearest"),
                    padding_mode="border",
                    spatial_size=patch_size,
                ),
                RandScaleIntensityd(["image"], factors=0.2, prob=0.3),
                RandShiftIntensityd(["image"], offsets=0.2, prob=0.3),
                RandGaussianNoised(["image"], prob=0.15, std=0.1),
            ]
        )
        return gentle
    flips = [RandFlipd(both, prob=0.2, spatial_axis=axis) for axis in range(3)]
    # A quarter turn swaps the sides of a patch, so only a square plane can be turned.
    turns = [RandRotate90d(both, prob=0.2)] if patch_size[0] == patch_size[1] else []
    paper: Callable[[Patch], Patch] = Compose(
        [
            *flips,
            *turns,
            RandScaleIntensityd(["image"], factors=0.1, prob=0.1),
            RandShiftIntensityd(["image"], offsets=0.1, prob=0.1),
        ]
    )
    return paper
