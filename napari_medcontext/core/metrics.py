"""How well two masks agree: one function a metric, all of them named in ``METRICS``.

A mask is a boolean array, shape ``(i, j, k)``; ``spacing`` is the distance between voxel
centres along each of its axes, in millimetres.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import KDTree

Mask = npt.NDArray[np.bool_]
Distances = npt.NDArray[np.float64]
Spacing = tuple[float, float, float]

_LEAF_SIZE = 32


@dataclass(frozen=True)
class Metric:
    """One way to score a prediction against its reference.

    Parameters
    ----------
    title
        What heads its column in a table.
    unit
        Unit of the score; empty for a ratio.
    decimals
        How many digits after the point a table shows.
    measure
        Takes prediction, reference and spacing; called only where both masks hold voxels.
    one_sided
        Score where one of the two masks is empty and the other is not.
    """

    title: str
    unit: str
    decimals: int
    measure: Callable[[Mask, Mask, Spacing], float]
    one_sided: float


def dice(prediction: Mask, reference: Mask) -> float:
    """Return the Dice similarity coefficient, twice the overlap over the sum of both sizes.

    Returns
    -------
    float
        Between 0 (apart) and 1 (the same); ``nan`` where both masks are empty.
    """
    total = np.count_nonzero(prediction) + np.count_nonzero(reference)
    if total == 0:
        return float("nan")
    return float(2.0 * np.count_nonzero(prediction & reference) / total)


def hd95_mm(prediction: Mask, reference: Mask, spacing: Spacing) -> float:
    """Return the 95th percentile of the Hausdorff distance in millimetres.

    It is the larger of the two directed 95th percentiles (MedContext, Eq. 8).

    Returns
    -------
    float
        ``nan`` where either mask is empty: with no surface there is nothing to measure.
    """
    if not (prediction.any() and reference.any()):
        return float("nan")
    return max(
        float(np.percentile(distances, 95))
        for distances in surface_distances(prediction, reference, spacing)
    )


def volume_ml(mask: Mask, spacing: Spacing) -> float:
    """Return the volume of a mask in millilitres."""
    return float(np.count_nonzero(mask) * np.prod(spacing) / 1000.0)


def surface_distances(
    prediction: Mask, reference: Mask, spacing: Spacing
) -> tuple[Distances, Distances]:
    """Return how far each surface voxel of one mask lies from the other mask's surface.

    Both masks must hold voxels. The nearest neighbour is found in a tree of surface points
    and not in a distance map: it lets other threads run, so that a window stays alive, and a
    stray voxel far away costs nothing.

    Returns
    -------
    tuple of ndarray
        From prediction to reference and from reference to prediction, in millimetres,
        shapes ``(surface voxels of that mask,)``.
    """
    box = _bounding_box(prediction | reference)
    points = [_surface_points(mask[box], spacing) for mask in (prediction, reference)]
    return _nearest(points[0], points[1]), _nearest(points[1], points[0])


def _surface_points(mask: Mask, spacing: Spacing) -> Distances:
    """Return the positions in mm of all voxels with a face towards the outside.

    The outside begins at the array's border too, as in MONAI.
    """
    mask = np.ascontiguousarray(mask)
    surface = mask & ~ndimage.binary_erosion(mask)
    return np.argwhere(surface).astype(np.float64) * np.asarray(spacing, dtype=np.float64)


def _nearest(points: Distances, targets: Distances) -> Distances:
    tree = KDTree(targets, leafsize=_LEAF_SIZE)
    return np.asarray(tree.query(points, workers=-1)[0], dtype=np.float64)


def _bounding_box(mask: Mask) -> tuple[slice, ...]:
    box: tuple[slice, ...] = ndimage.find_objects(mask.view(np.uint8))[0]
    return box


METRICS: Mapping[str, Metric] = {
    "dsc": Metric("DSC", "", 3, lambda first, second, _: dice(first, second), one_sided=0.0),
    "hd95_mm": Metric("HD95", "mm", 2, hd95_mm, one_sided=float("nan")),
}
"""Every metric by its name: the column it fills in a table of scores."""
