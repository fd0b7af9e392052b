"""A box that the user drew, as voxels of a run's grid."""

from __future__ import annotations

from collections.abc import Iterable

import lazy_loader
import numpy as np
from napari.layers import Image, Layer, Shapes

from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.inspection import VoxelBox
from napari_medcontext.core.volume import Volume
from napari_medcontext.layer_geometry import layer_grid, world_matrix

nibabel = lazy_loader.load("nibabel")

ADVICE = "Add a Shapes layer (the polygon button above the layer list) and draw a rectangle."


def drawn_box(layers: Iterable[Layer], scan: Image, grid: Volume) -> VoxelBox:
    """Return the box round the shape that was drawn last, on a run's grid.

    A shape lies in one slice; its box reaches as far across slices as it is wide on average.

    Parameters
    ----------
    layers
        Of the viewer; the topmost Shapes layer that holds a shape counts.
    scan
        The scan that it was drawn on.
    grid
        The run's grid over that scan; only its shape and its affine count.

    Raises
    ------
    ScanError
        If there is no shape, or it lies outside of the scan.
    """
    layers = list(layers)
    drawn = [layer for layer in layers if isinstance(layer, Shapes) and len(layer.data)]
    if not drawn:
        raise ScanError(f"No box is drawn. {ADVICE}")
    shape = drawn[-1]
    world = np.array([shape.data_to_world(corner) for corner in shape.data[-1]], float)[:, -3:]
    if world.shape[1] < 3:
        raise ScanError(f"“{shape.name}” has two axes and lies in no slice. {ADVICE}")
    low, high = _thick(world.min(0), world.max(0))
    corners = np.array(np.meshgrid(*np.transpose([low, high]))).reshape(3, -1).T
    to_patient = layer_grid(scan, layers).affine @ np.linalg.inv(world_matrix(scan))
    voxels = nibabel.affines.apply_affine(np.linalg.inv(grid.affine) @ to_patient, corners)
    first = np.clip(np.floor(voxels.min(0) + 0.5), 0, grid.shape).astype(int)
    last = np.clip(np.ceil(voxels.max(0) + 0.5), 0, grid.shape).astype(int)
    if (last <= first).any():
        raise ScanError(f"The shape drawn in “{shape.name}” lies outside of “{scan.name}”.")
    (x, y, z) = ((int(start), int(stop)) for start, stop in zip(first, last, strict=True))
    return x, y, z


def _thick(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give a flat box the mean of its other sides as its depth."""
    sides = high - low
    flat = sides < 1e-3 * max(float(sides.max()), 1e-9)
    depth = np.where(flat, sides[~flat].mean() if (~flat).any() else 0.0, 0.0)
    return low - depth / 2, high + depth / 2
