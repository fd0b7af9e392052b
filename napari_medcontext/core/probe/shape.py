"""An organ's average shape over the training scans: what a guess without looking comes to."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects

from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.inference import Predictor
from napari_medcontext.core.io import read_geometry
from napari_medcontext.core.masking.structure import Box
from napari_medcontext.core.prepared import prepared_scan
from napari_medcontext.core.run import RunFolder

Mask = npt.NDArray[np.bool_]


def average_shape(masks: Iterable[Mask]) -> Mask | None:
    """Return the average of masks that are laid on each other by their bounding boxes' centres.

    Parameters
    ----------
    masks
        Where the organ is in each scan, ``(x, y, z)``, all at one spacing; empty ones do not
        count.

    Returns
    -------
    numpy.ndarray or None
        What at least half of them cover, in the smallest box that holds all; where a centre
        lies between two voxels, the mask is laid half a voxel lower. None where there is none.
    """
    tight = [mask[find_objects(mask.view(np.uint8))[0]] for mask in masks if mask.any()]
    if not tight:
        return None
    sides = tuple(np.max([mask.shape for mask in tight], axis=0))
    total = np.zeros(sides, dtype=np.int32)
    for mask in tight:
        total[_centred(mask.shape, sides)] += mask
    return 2 * total >= len(tight)


def training_shapes(run: RunFolder, predictor: Predictor) -> dict[int, Mask]:
    """Return the average shape of each class over a run's labelled training scans.

    Training scans that are gone by now are left out, and so are classes that no other has.
    """
    masks: dict[int, list[Mask]] = {k: [] for k in predictor.classes.predicted_ids}
    cache = run.path / "cache"
    spec = run.spec()
    for case in spec.with_role("training"):
        if case.labels is None:
            continue
        try:
            grid = read_geometry(case.image, channels=len(spec.channels) > 1)
            scan = prepared_scan(
                case,
                grid.reoriented("RAS").spacing,
                predictor.classes,
                predictor.spacing,
                predictor.config,
                cache if cache.is_dir() else None,
                spec.channels,
            )
        except (MedContextError, OSError):
            continue
        assert scan.labels is not None
        for class_id, mask in predictor.classes.masks(scan.labels.numpy()).items():
            masks[class_id].append(mask)
    shapes = {k: average_shape(found) for k, found in masks.items()}
    return {k: shape for k, shape in shapes.items() if shape is not None}


def pasted(shape: Mask, box: Box, size: tuple[int, ...]) -> Mask:
    """Return a mask of a scan's size with a shape at the centre of a box, cut at the edges.

    Where the two centres cannot meet on the grid, the shape lies half a voxel lower.
    """
    pasted = np.zeros(size, dtype=bool)
    into, out_of = [], []
    for side, length, whole in zip(box, shape.shape, size, strict=True):
        start = (side.start + side.stop - length) // 2
        begin, end = max(start, 0), min(start + length, whole)
        into.append(slice(begin, end))
        out_of.append(slice(begin - start, end - start))
    pasted[tuple(into)] = shape[tuple(out_of)]
    return pasted


def _centred(inner: tuple[int, ...], outer: tuple[int, ...]) -> tuple[slice, ...]:
    starts = [(large - small) // 2 for small, large in zip(inner, outer, strict=True)]
    return tuple(slice(start, start + side) for start, side in zip(starts, inner, strict=True))
