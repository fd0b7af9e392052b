"""The one carrier of geometry: an array and where its voxels lie in the patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import lazy_loader
import numpy as np
import numpy.typing as npt

from napari_medcontext.core.errors import ScanError

nibabel = lazy_loader.load("nibabel")

Array = npt.NDArray[np.generic]
Affine = npt.NDArray[np.float64]
Spacing = tuple[float, float, float]

GEOMETRY_TOLERANCE = 0.05
"""Largest displacement, in voxels, at which two grids still count as the same."""


@dataclass(frozen=True, eq=False)
class Volume:
    """A 3D scan, or its labels, in patient space.

    Parameters
    ----------
    array
        Voxels, shape ``(i, j, k)``; the axes are those of ``affine``. They may be left unread: an
        array of dask's, until :meth:`held` is called.
    affine
        Shape ``(4, 4)``; takes voxel indices to RAS+ world millimetres
        (right, anterior, superior), as NIfTI does.
    name
        What the user calls it; stands in every message about it.
    class_names
        For labels: class id to name.

    Raises
    ------
    ScanError
        If the affine is no invertible 4×4 matrix of finite numbers.
    """

    array: Array
    affine: Affine
    name: str = "scan"
    class_names: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        affine = np.asarray(self.affine, dtype=float)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise ScanError(f"“{self.name}” has no usable affine: it must be 4×4 and finite.")
        if abs(np.linalg.det(affine[:3, :3])) < 1e-12:
            raise ScanError(
                f"“{self.name}” has an affine that squashes an axis to nothing; "
                "its spacing cannot be known. Export the scan again."
            )
        object.__setattr__(self, "affine", affine)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of voxels along each axis."""
        return self.array.shape

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between voxel centres along each array axis, in millimetres."""
        i, j, k = (float(size) for size in nibabel.affines.voxel_sizes(self.affine))
        return i, j, k

    @property
    def orientation(self) -> str:
        """Direction in which each array axis runs, e.g. ``"RAS"`` or ``"LPS"``."""
        directions = nibabel.orientations
        return "".join(directions.ornt2axcodes(directions.io_orientation(self.affine)))

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    @property
    def is_held(self) -> bool:
        """Whether its voxels are in memory, and not left unread."""
        return isinstance(self.array, np.ndarray)

    def held(self) -> Volume:
        """Return it with its voxels in memory; they are read now if they were left unread.

        Raises
        ------
        ScanError
            If that fails.
        """
        if self.is_held:
            return self
        try:
            return replace(self, array=np.asarray(self.array))
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ScanError(
                f"“{self.name}” cannot be read ({type(error).__name__}: {error}). Its file is "
                "damaged or incomplete; copy or convert it again."
            ) from error

    def reoriented(self, orientation: str) -> Volume:
        """Return the same volume with its axes flipped and swapped, as a view.

        Parameters
        ----------
        orientation
            Three letters, e.g. ``"RAS"``: the direction of each axis.
        """
        directions = nibabel.orientations
        wanted = directions.axcodes2ornt(tuple(orientation))
        transform = directions.ornt_transform(directions.io_orientation(self.affine), wanted)
        array = directions.apply_orientation(self.array, transform)
        affine = self.affine @ directions.inv_ornt_aff(transform, self.shape)
        return replace(self, array=array, affine=affine)

    def turned_onto(self, grid: Volume) -> Volume | None:
        """Return the same volume with its axes running as those of a grid do, as a view.

        Parameters
        ----------
        grid
            The volume to lie on; only its shape and its affine count.

        Returns
        -------
        Volume or None
            ``None`` where no flip or swap of axes makes the voxels coincide.
        """
        if same_grid(self, grid):
            return self
        turned = self.reoriented(grid.orientation)
        return turned if same_grid(turned, grid) else None

    def with_array(self, array: Array, **changes: object) -> Volume:
        """Return a volume on the same grid with other voxels."""
        if array.shape != self.shape:
            raise ValueError(f"shape {array.shape} is not that of the grid, {self.shape}")
        return replace(self, array=array, **changes)  # type: ignore[arg-type]


def grid_distance(first: Volume, second: Volume) -> float:
    """Return the largest distance between corresponding corners of two grids.

    Returns
    -------
    float
        Distance in units of the first volume's smallest spacing; ``inf`` where the
        shapes differ.
    """
    if first.shape != second.shape:
        return float("inf")
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in first.shape])).reshape(3, -1)
    difference = first.affine - second.affine
    displacement = difference[:3, :3] @ corners + difference[:3, 3:]
    return float(np.linalg.norm(displacement, axis=0).max() / min(first.spacing))


def same_grid(first: Volume, second: Volume) -> bool:
    """Say whether two volumes lie voxel on voxel, up to rounding in their affines."""
    return grid_distance(first, second) <= GEOMETRY_TOLERANCE


def median_spacing(spacings: Sequence[Spacing]) -> Spacing:
    """Return the spacing to which scans are resampled where nobody chose one.

    Parameters
    ----------
    spacings
        Of the training scans along x, y, z, in millimetres.
    """
    x, y, z = (round(float(size), 4) for size in np.median(spacings, axis=0))
    return x, y, z


def resampled_grid(volume: Volume, spacing: Spacing) -> tuple[Affine, tuple[int, ...]]:
    """Return affine and shape of a grid of another spacing that covers the same field of view.

    Voxels keep their outer edges: the first voxel's outer corner stays where it was.
    """
    factors = np.asarray(spacing) / np.asarray(volume.spacing)
    shape = tuple(max(1, int(side)) for side in np.round(np.asarray(volume.shape) / factors))
    affine = volume.affine @ np.diag([*factors, 1.0])
    affine[:3, 3] = (volume.affine @ np.array([*(factors - 1.0) / 2.0, 1.0]))[:3]
    return affine, shape
