"""How well two masks agree: one function a metric, all of them named in ``METRICS``.

A mask is a boolean array, shape ``(i, j, k)``; ``spacing`` is the distance between voxel
centres along each of its axes, in millimetres. Distances are taken between surface voxels, those
with a face towards the outside, each counted once, as in MONAI.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy

from napari_medcontext.core.definitions import TOLERANCE_MM, Definitions, Hausdorff, SurfaceDice
from napari_medcontext.core.surface_areas import surface_elements

Mask = npt.NDArray[np.bool_]
Distances = npt.NDArray[np.float64]
Spacing = tuple[float, float, float]

_LEAF_SIZE = 32
_ROUNDING = 1e-5
"""By what share a distance may exceed a tolerance and still be within it: files keep affines in
single precision, so that voxels of 2 mm may come out as 2.00000005 mm."""


@dataclass(frozen=True, eq=False)
class MaskPair:
    """A prediction and its reference, whose surfaces are measured once for all metrics."""

    prediction: Mask
    reference: Mask
    spacing: Spacing

    @cached_property
    def distances(self) -> tuple[Distances, Distances]:
        """The two directions of ``surface_distances``."""
        return surface_distances(self.prediction, self.reference, self.spacing)

    @cached_property
    def weighted_distances(self) -> tuple[tuple[Distances, Distances], ...]:
        """For each direction the distances between surface elements, and these elements' areas."""
        box = _bounding_box(self.prediction | self.reference)
        first, second = (
            surface_elements(mask[box], self.spacing) for mask in (self.prediction, self.reference)
        )
        return tuple(
            (_nearest(points, targets), areas)
            for (points, areas), (targets, _) in ((first, second), (second, first))
        )

    @property
    def measurable(self) -> bool:
        """Whether both hold voxels, without which there is no distance."""
        return bool(self.prediction.any() and self.reference.any())


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
        Called only where both masks hold voxels.
    one_sided
        Score where one of the two masks is empty and the other is not.
    """

    title: str
    unit: str
    decimals: int
    measure: Callable[[MaskPair, Definitions], float] = field(repr=False)
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


def hd95_mm(pair: MaskPair, kind: Hausdorff = "directed") -> float:
    """Return the 95th percentile of the Hausdorff distance in millimetres.

    Parameters
    ----------
    pair
        The two masks.
    kind
        ``"directed"``: the larger of the two directed percentiles (MedContext, Eq. 8).
        ``"pooled"``: the percentile of all distances, those of both directions together.
        ``"area"``: as directed, each piece of surface weighing what its area is.

    Returns
    -------
    float
        ``nan`` where either mask is empty: with no surface there is nothing to measure.
    """
    if not pair.measurable:
        return float("nan")
    if kind == "area":
        return max(_weighted_percentile(*each, 0.95) for each in pair.weighted_distances)
    if kind == "pooled":
        return float(np.percentile(np.concatenate(pair.distances), 95))
    return max(float(np.percentile(distances, 95)) for distances in pair.distances)


def assd_mm(pair: MaskPair) -> float:
    """Return the average symmetric surface distance in millimetres; ``nan`` as for ``hd95_mm``.

    It is the mean over the surface voxels of both masks (Heimann et al., 2009), so that the
    larger surface weighs more; medpy averages the two directions' means.
    """
    if not pair.measurable:
        return float("nan")
    return float(np.concatenate(pair.distances).mean())


def nsd(pair: MaskPair, tolerance_mm: float = TOLERANCE_MM, kind: SurfaceDice = "voxels") -> float:
    """Return the normalised surface Dice: the share of both surfaces that agrees.

    Parameters
    ----------
    pair
        The two masks.
    tolerance_mm
        How far apart surfaces may lie and still agree, in millimetres.
    kind
        ``"voxels"`` counts surface voxels (MONAI); ``"area"`` adds up the area that they stand
        for (Nikolov et al., arXiv 1809.04430).

    Returns
    -------
    float
        Between 0 and 1; ``nan`` where both masks are empty, 0 where one is.
    """
    if not pair.measurable:
        return 0.0 if pair.prediction.any() or pair.reference.any() else float("nan")
    reach = tolerance_mm * (1 + _ROUNDING)
    if kind == "voxels":
        return float(np.mean(np.concatenate(pair.distances) <= reach))
    distances, areas = (np.concatenate(part) for part in zip(*pair.weighted_distances, strict=True))
    return float(areas[distances <= reach].sum() / areas.sum())


def volume_ml(mask: Mask, spacing: Spacing) -> float:
    """Return the volume of a mask in millilitres."""
    return float(np.count_nonzero(mask) * np.prod(spacing) / 1000.0)


def surface_distances(
    prediction: Mask, reference: Mask, spacing: Spacing
) -> tuple[Distances, Distances]:
    """Return how far each surface voxel of one mask lies from the other mask's surface.

    Both masks must hold voxels. The nearest neighbour is found in a tree of surface points
    and not in a distance map: it is as fast, lets other threads run, so that a window stays
    alive, and a stray voxel far away costs nothing.

    Returns
    -------
    tuple of ndarray
        From prediction to reference and from reference to prediction, in millimetres,
        shapes ``(surface voxels of that mask,)``; their order means nothing.
    """
    box = _bounding_box(prediction | reference)
    first, second = _surface(prediction[box]), _surface(reference[box])
    return _distances(first, second, spacing), _distances(second, first, spacing)


def _surface(mask: Mask) -> Mask:
    """Return the voxels with a face towards the outside, which begins at the border too."""
    padded = np.pad(mask, 1)
    inside = mask.copy()
    for axis in range(mask.ndim):
        for shift in (slice(None, -2), slice(2, None)):
            inside &= padded[tuple(shift if i == axis else slice(1, -1) for i in range(mask.ndim))]
    return mask & ~inside


def _distances(surface: Mask, other: Mask, spacing: Spacing) -> Distances:
    """Look for the nearest voxel of the other surface, but where both share the voxel."""
    apart = np.argwhere(surface & ~other)
    found = np.zeros(np.count_nonzero(surface))
    if len(apart):
        scale = np.asarray(spacing)
        found[: len(apart)] = _nearest(apart * scale, np.argwhere(other) * scale)
    return found


def _nearest(points: Distances, targets: Distances) -> Distances:
    tree = scipy.spatial.KDTree(targets, leafsize=_LEAF_SIZE)
    return np.asarray(tree.query(points, workers=-1)[0], dtype=np.float64)


def _weighted_percentile(distances: Distances, weights: Distances, share: float) -> float:
    """Return the least distance within which this share of the weight lies."""
    order = np.argsort(distances)
    within = np.cumsum(weights[order]) / weights.sum()
    return float(distances[order][min(int(np.searchsorted(within, share)), len(order) - 1)])


def _bounding_box(mask: Mask) -> tuple[slice, ...]:
    box: tuple[slice, ...] = scipy.ndimage.find_objects(mask.view(np.uint8))[0]
    return box


METRICS: Mapping[str, Metric] = {
    "dsc": Metric("DSC", "", 3, lambda pair, _: dice(pair.prediction, pair.reference), 0.0),
    "hd95_mm": Metric("HD95", "mm", 2, lambda pair, how: hd95_mm(pair, how.hd95), float("nan")),
    "assd_mm": Metric("ASSD", "mm", 2, lambda pair, _: assd_mm(pair), float("nan")),
    "nsd": Metric("NSD", "", 3, lambda pair, how: nsd(pair, how.tolerance_mm, how.nsd), 0.0),
}
"""Every metric by its name: the column it fills in a table of scores."""
