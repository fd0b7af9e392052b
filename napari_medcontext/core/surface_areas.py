"""Surfaces as elements that know their area, for metrics that weigh by it."""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
CORNERS = tuple(product((0, 1), repeat=3))


def surface_elements(
    mask: npt.NDArray[np.bool_], spacing: tuple[float, float, float]
) -> tuple[Floats, Floats]:
    """Return where a mask's surface passes between voxels, and how much of it passes there.

    Parameters
    ----------
    mask
        Boolean, shape ``(i, j, k)``; beyond its border lies the outside.
    spacing
        Distance between voxel centres in millimetres.

    Returns
    -------
    positions, areas
        In millimetres, shape ``(n, 3)``, and in mm², shape ``(n,)``: one for each cube of eight
        neighbouring voxels that are not all alike, its area that of the marching-cubes surface
        in it.

    References
    ----------
    Nikolov et al., arXiv 1809.04430, and their package surface-distance.
    """
    padded = np.pad(mask, 1).view(np.uint8)
    i, j, k = (side - 1 for side in padded.shape)
    patterns = np.zeros((i, j, k), np.uint8)
    for bit, (x, y, z) in enumerate(CORNERS):
        patterns |= padded[x : x + i, y : y + j, z : z + k] << bit
    cubes = np.argwhere((patterns > 0) & (patterns < 255))
    return cubes * np.asarray(spacing), _areas(spacing)[patterns[tuple(cubes.T)]]


@lru_cache(maxsize=8)
def _areas(spacing: tuple[float, float, float]) -> Floats:
    """Return the area in mm² of the surface in a cube, for each of its 256 patterns."""
    # Only who asks for areas waits for this import.
    from skimage.measure import marching_cubes, mesh_surface_area

    areas = np.zeros(256)
    for pattern in range(1, 255):
        corners = [(pattern >> bit) & 1 for bit in range(len(CORNERS))]
        cube = np.array(corners, dtype=np.float64).reshape(2, 2, 2)
        vertices, faces, _, _ = marching_cubes(cube, 0.5, spacing=spacing)  # type: ignore[no-untyped-call]
        areas[pattern] = mesh_surface_area(vertices, faces)  # type: ignore[no-untyped-call]
    return areas
