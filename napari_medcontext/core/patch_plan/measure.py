"""What patches of several sizes see of a scan's labels, drawn as the training draws them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cc3d
import numpy as np
import numpy.typing as npt
import torch

from napari_medcontext.core import transforms
from napari_medcontext.core.classes import UNKNOWN, Classes
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.labels import LabelArray, as_label_array, bounding_box
from napari_medcontext.core.networks import PatchSize
from napari_medcontext.core.padding import padded_to
from napari_medcontext.core.patch_plan.sight import PERCENTILES, ClassSight, SizeSight, Spread
from napari_medcontext.core.sampler import class_positions, drawn_box
from napari_medcontext.core.volume import Spacing, Volume, resampled_grid

AMPLE = 0.25
"""Context is ample where each side of a centred organ has this share of its length round it, or
the patch reaches from edge to edge of the scan along that axis."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ScanSight:
    """What was measured on one scan at the training's spacing.

    Parameters
    ----------
    ids
        Class ids that its labels have there, the background left out.
    shape
        Voxels along x, y, z.
    organs
        Sides in voxels, ``(3,)``, of the largest piece of each class.
    shares
        By size, the share of each class in each drawn patch, ``(draws, ids)``.
    """

    ids: tuple[int, ...]
    shape: tuple[int, ...]
    organs: Mapping[int, Floats]
    shares: Mapping[PatchSize, Floats]


def scan_sight(
    labels: Volume,
    spacing: Spacing,
    sizes: Sequence[PatchSize],
    draws: int,
    *,
    unknown: int | None = None,
    seed: int = 0,
) -> ScanSight:
    """Look at one scan's labels through patches of each size.

    Positions are drawn as a training draws them (``sampler``): half on background, half on a
    foreground class, each as often as the others. Augmentation is left out; it turns and zooms a
    patch by little.

    Parameters
    ----------
    labels
        Class ids.
    spacing
        The training's voxel size along x, y, z in mm.
    sizes
        Patch sizes in voxels along x, y, z.
    draws
        Patches to draw of each size.
    unknown
        The id in the labels that means “unknown”, if there is one: those voxels are of no class.
    seed
        Number that fixes the positions.

    Raises
    ------
    ScanError
        If the labels are no class ids, too many, or vanish at this spacing.
    """
    ids, indices = _on_grid(labels, spacing, unknown)
    organs = {ids[k]: _organ(indices == k) for k in range(1, len(ids)) if (indices == k).any()}
    if not organs:
        raise ScanError(
            f"Nothing is left of the labels of “{labels.name}” at a spacing of {spacing} mm. "
            "Choose a finer spacing."
        )
    return ScanSight(
        tuple(ids[1:]),
        indices.shape,
        organs,
        {size: _shares(indices, size, draws, len(ids), seed) for size in sizes},
    )


def size_sights(
    scans: Sequence[ScanSight],
    sizes: Sequence[PatchSize],
    spacing: Spacing,
    names: Mapping[int, str],
) -> list[SizeSight]:
    """Put together what patches of each size see of all scans, each scan as often as the others.

    Parameters
    ----------
    scans
        What was measured on each.
    sizes
        Those that it was measured for.
    spacing
        The training's voxel size along x, y, z in mm.
    names
        Class id to name, as far as classes have one.
    """
    ids = sorted(set().union(*(scan.organs for scan in scans)))
    return [_size_sight(scans, size, np.asarray(spacing), ids, names) for size in sizes]


def _on_grid(
    labels: Volume, spacing: Spacing, unknown: int | None
) -> tuple[list[int], npt.NDArray[np.uint8]]:
    """Return the ids, and the labels at the training's spacing as their indices."""
    array: LabelArray = as_label_array(labels.array, labels.name)
    ids = [0, *(int(k) for k in np.unique(array) if k and k != unknown)]
    if len(ids) > UNKNOWN:
        raise ScanError(
            f"The labels “{labels.name}” hold {len(ids)} different ids; at most {UNKNOWN} classes "
            "can be learned. Is it a map of intensities or probabilities?"
        )
    upright = labels.with_array(Classes(tuple(ids), unknown_id=unknown).to_indices(array))
    upright = upright.reoriented("RAS")
    affine, shape = resampled_grid(upright, spacing)
    grid = Volume(np.broadcast_to(np.uint8(0), shape), affine, labels.name)
    return ids, np.asarray(transforms.prepare_labels(upright, grid))


def _organ(mask: npt.NDArray[np.bool_]) -> Floats:
    """Return the sides in voxels of the largest piece."""
    box = bounding_box(mask)
    pieces = cc3d.largest_k(np.ascontiguousarray(mask[box]), k=1, connectivity=26)
    inner = bounding_box(pieces > 0)
    return np.array([side.stop - side.start for side in inner], dtype=np.float64)


def _shares(
    indices: npt.NDArray[np.uint8], size: PatchSize, draws: int, classes: int, seed: int
) -> Floats:
    padded = padded_to(torch.as_tensor(np.ascontiguousarray(indices)), size)[0]
    positions, state = class_positions(padded), np.random.RandomState(seed)
    array = padded.numpy()
    shares = np.empty((draws, classes - 1))
    for row in shares:
        patch = array[drawn_box(positions, array.shape, size, state)]
        counts = np.bincount(patch.ravel(), minlength=UNKNOWN + 1)
        row[:] = counts[1:classes] / patch.size
    return shares


def _size_sight(
    scans: Sequence[ScanSight],
    size: PatchSize,
    spacing: Floats,
    ids: Sequence[int],
    names: Mapping[int, str],
) -> SizeSight:
    foreground = np.concatenate([scan.shares[size].sum(axis=1) for scan in scans])
    x, y, z = (float(side) for side in np.asarray(size) * spacing)
    inside = [math.prod(np.minimum(scan.shape, size)) / math.prod(size) for scan in scans]
    return SizeSight(
        size=size,
        extent_mm=(x, y, z),
        foreground=_spread(foreground),
        beyond=1.0 - float(np.mean(inside)),
        classes=tuple(
            _class_sight(scans, size, spacing, k, names.get(k, f"class {k}")) for k in ids
        ),
    )


def _class_sight(
    scans: Sequence[ScanSight], size: PatchSize, spacing: Floats, class_id: int, name: str
) -> ClassSight:
    having = [scan for scan in scans if class_id in scan.organs]
    organs = np.array([scan.organs[class_id] for scan in having])
    shapes = np.array([scan.shape for scan in having])
    lengths = (organs * spacing).max(axis=1)
    round_it = (np.asarray(size) - organs) / 2 * spacing
    ample = (round_it >= AMPLE * lengths[:, None]) | (np.asarray(size) >= shapes)
    return ClassSight(
        class_id=class_id,
        name=name,
        share=_spread(np.concatenate([_of_class(scan, size, class_id) for scan in scans])),
        whole=float((organs <= np.asarray(size)).all(axis=1).mean()),
        ample=float(ample.all(axis=1).mean()),
        length_mm=float(np.median(lengths)),
        context_mm=float(np.median(round_it.min(axis=1))),
    )


def _of_class(scan: ScanSight, size: PatchSize, class_id: int) -> Floats:
    shares = scan.shares[size]
    if class_id not in scan.ids:
        return np.zeros(len(shares))
    return np.asarray(shares[:, scan.ids.index(class_id)])


def _spread(values: Floats) -> Spread:
    a, b, c, d, e = (float(value) for value in np.percentile(values, PERCENTILES))
    return a, b, c, d, e
