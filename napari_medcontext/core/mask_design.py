"""The mask that a run would draw of a whole scan, and how much of each organ it hides.

This module imports no torch, so that a window may draw masks before there is any training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.labels import LabelArray, as_label_array, class_boxes
from napari_medcontext.core.masking import (
    block_voxels,
    choose_axis,
    draw_mask,
    mask_unit,
    whole_units,
)
from napari_medcontext.core.masking.blocks import Size
from napari_medcontext.core.volume import Spacing, Volume, median_spacing, resampled_grid


@dataclass(frozen=True)
class TrainingGrid:
    """What a mask is drawn on: a run's voxel size, and the axis along which columns run.

    ``axis`` is the index of the depth axis among x, y, z.
    """

    spacing: Spacing
    axis: int

    @classmethod
    def of(cls, config: RunConfig, spacings: Sequence[Spacing]) -> TrainingGrid:
        """Return the grid that a run with these settings has.

        Parameters
        ----------
        config
            The run's settings.
        spacings
            Voxel sizes of its training scans as acquired, along x, y, z, in millimetres.
        """
        spacing = config.data.spacing or median_spacing(spacings)
        return cls(spacing, choose_axis(config.masking.axis, spacings))


@dataclass(frozen=True, eq=False)
class DesignedMask:
    """A mask over a whole scan.

    ``volume`` holds 1 where the scan is hidden, axes ``(x, y, z)`` in RAS order, at the run's
    spacing; ``block`` is the side of what is hidden at once, in voxels along x, y, z.
    """

    volume: Volume
    grid: TrainingGrid
    block: Size

    @property
    def share(self) -> float:
        """Share of the scan that is hidden."""
        return float(np.count_nonzero(self.volume.array) / max(self.volume.array.size, 1))


@dataclass(frozen=True)
class HiddenShare:
    """How much of an organ a mask hides, from 0 to 1, and the organ's volume in ml."""

    class_id: int
    name: str
    share: float
    volume_ml: float


def design_mask(
    scan: Volume, config: RunConfig, grid: TrainingGrid, seed: int, labels: Volume | None = None
) -> DesignedMask:
    """Draw the mask of a whole scan, as a run's previews draw it.

    Parameters
    ----------
    scan
        Only its shape and its affine count.
    config
        The run's settings: what is hidden, and of what size the network's tokens are.
    grid
        The run's spacing and depth axis.
    seed
        Fixes the draw; a run's previews use the seed of its training.
    labels
        Class ids on the scan's grid, for masks that hide a structure.

    Raises
    ------
    SettingsError
        If tokens shall be hidden from a network that has none.
    """
    upright = scan.reoriented("RAS")
    affine, sides = resampled_grid(upright, grid.spacing)
    unit = mask_unit(config)
    x, y, z = least = whole_units(sides, unit, config.data.patch_size)
    before = [(want - have) // 2 for want, have in zip(least, sides, strict=True)]
    structures = None
    if labels is not None and config.masking.scheme == "structure":
        widths = [(b, w - h - b) for b, w, h in zip(before, least, sides, strict=True)]
        ids = _structures(labels, config.data.ignore_label, sides)
        structures = np.pad(ids, widths, mode="edge")
    drawn = draw_mask(
        config.masking,
        (x, y, z),
        spacing=grid.spacing,
        axis=grid.axis,
        rng=np.random.default_rng([seed, *sides]),
        labels=structures,
        unit=unit,
    )
    inner = tuple(slice(b, b + side) for b, side in zip(before, sides, strict=True))
    volume = Volume(drawn[inner].view(np.uint8), affine, scan.name)
    return DesignedMask(volume, grid, block_voxels(config.masking, grid.spacing, unit))


def hidden_shares(mask: Volume, labels: Volume) -> list[HiddenShare]:
    """Return how much of each organ a mask hides, counted in the labels' own voxels.

    Parameters
    ----------
    mask
        0 or 1, over the same field of view as the labels, at any spacing.
    labels
        Class ids; 0 is the background and left out.

    Raises
    ------
    ScanError
        If the labels hold no class ids.
    """
    ids = as_label_array(labels.array, labels.name)
    turned = mask.reoriented(labels.orientation).array
    nearest = [_nearest(have, want) for have, want in zip(ids.shape, turned.shape, strict=True)]
    shares = []
    for class_id, box in class_boxes(ids).items():
        inside = ids[box] == class_id
        at = [places[side] for places, side in zip(nearest, box, strict=True)]
        voxels = int(np.count_nonzero(inside))
        share = float(np.count_nonzero(turned[np.ix_(*at)][inside]) / voxels)
        name = labels.class_names.get(class_id, f"class {class_id}")
        shares.append(HiddenShare(class_id, name, share, voxels * labels.voxel_volume_ml))
    return shares


def _structures(labels: Volume, unknown: int | None, sides: Sequence[int]) -> LabelArray:
    """Return class ids at the voxels nearest to those of another grid over the same view."""
    upright = labels.reoriented("RAS")
    at = [_nearest(want, have) for have, want in zip(upright.shape, sides, strict=True)]
    ids = as_label_array(upright.array[np.ix_(*at)], labels.name)
    return ids if unknown is None else np.where(ids == unknown, 0, ids)


def _nearest(have: int, want: int) -> npt.NDArray[np.intp]:
    """Return, for each of ``have`` voxels in a row, in which of ``want`` its centre lies."""
    return np.floor((np.arange(have) + 0.5) * want / have).astype(np.intp)
