"""Where a layer's voxels lie in the patient: what is shown, and what is true.

The viewer shows every scan in one display world, (inferior, posterior, left) in millimetres
along (z, y, x): each RAS axis negated. So axial, coronal and sagittal views come upright, with
the patient's right on the left, and scans of different extent line up. An oblique scan is shown
straightened about its centre, for napari draws and paints oblique slices wrongly; its true
affine stays in the layer's metadata.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import lazy_loader
import numpy as np
from napari.layers import Image, Labels, Layer

from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.volume import Affine, Volume, grid_distance
from napari_medcontext.scan_metadata import ScanMetadata, is_made, scan_metadata

nibabel = lazy_loader.load("nibabel")

DISPLAY_ORIENTATION = "IPL"
AXIS_LABELS = ("z", "y", "x")
RAS_TO_DISPLAY = np.array([[0, 0, -1, 0], [0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]], dtype=float)
"""Takes RAS+ millimetres to the display world; its own inverse."""

UNMOVED_TOLERANCE = 1e-3
"""Largest displacement, in voxels, at which a layer still counts as where it was put."""


def metadata_of(volume: Volume, shown: Volume, path: str | None = None) -> ScanMetadata:
    """Describe a volume, as it came and as a layer shows it.

    Parameters
    ----------
    volume
        On the axes of its file.
    shown
        The same reoriented to the axes of the layer's data.
    path
        The file, where there is one.
    """
    return ScanMetadata(
        affine=shown.affine,
        shown=straightened(shown),
        source_orientation=volume.orientation,
        source_affine=volume.affine,
        source_shape=volume.shape,
        path=path,
        class_names=dict(volume.class_names),
    )


def straightened(shown: Volume) -> Affine:
    """Return the data-to-display matrix: spacing and an offset that keeps the centre in place.

    Parameters
    ----------
    shown
        A volume on the axes of the display world.

    Returns
    -------
    ndarray
        Shape ``(4, 4)``, in millimetres; diagonal but for its last column.
    """
    centre = (np.array(shown.shape) - 1) / 2
    affines = nibabel.affines
    spacing = affines.voxel_sizes(shown.affine)
    matrix = np.diag([*spacing, 1.0])
    matrix[:3, 3] = affines.apply_affine(RAS_TO_DISPLAY @ shown.affine, centre) - spacing * centre
    return matrix


def world_matrix(layer: Layer) -> Affine:
    """Return a layer's whole data-to-world transform, in millimetres.

    Scale, translate, rotate, shear and affine are composed; units that are no lengths, such
    as pixels, count as millimetres.

    Raises
    ------
    ScanError
        If the layer is no single three-dimensional grey-level array.
    """
    _require_scan(layer)
    origin = np.array(layer.data_to_world((0, 0, 0)), dtype=float)
    matrix = np.eye(4)
    matrix[:3, 3] = origin
    for axis, unit_point in enumerate(np.eye(3)):
        matrix[:3, axis] = np.array(layer.data_to_world(unit_point)) - origin
    matrix[:3] *= np.array([_millimetres(unit) for unit in layer.units])[:, np.newaxis]
    return matrix


def placement(layer: Layer) -> dict[str, Any]:
    """Return the layer properties that put another layer in the same place."""
    names = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
    return {name: getattr(layer, name) for name in names}


def source_of(layer: Layer, layers: Iterable[Layer] = ()) -> ScanMetadata | None:
    """Return a layer's own scan metadata, or else those of the scan that it was drawn on.

    napari's "New labels" copies the place of the selected layer but not its metadata. The
    scan is then the one of the same shape at the same place; among several, one whose name
    the layer's name begins with.
    """
    if (own := scan_metadata(layer)) is not None:
        return own
    grid = _shown_grid(layer)
    found = [
        other
        for other in layers
        if other is not layer
        and isinstance(other, Image | Labels)
        and is_scan(other)
        and scan_metadata(other) is not None
        and grid_distance(_shown_grid(other), grid) < UNMOVED_TOLERANCE
    ]
    found.sort(
        key=lambda other: (
            not layer.name.startswith(other.name),
            is_made(other),
            isinstance(other, Labels),
        )
    )
    return scan_metadata(found[0]) if found else None


def noted_of(layer: Layer, layers: list[Layer]) -> ScanMetadata:
    """Return a copy of an image's scan metadata, made up from its place if it has none."""
    noted = source_of(layer, layers)
    if noted is None:
        grid = layer_grid(layer)
        noted = metadata_of(grid, grid)
        noted["shown"] = world_matrix(layer)
    return ScanMetadata(**noted)


def layer_grid(layer: Layer, layers: Iterable[Layer] = ()) -> Volume:
    """Return where a layer's voxels lie, as a volume of zeros that takes no memory.

    The affine is the true one. If the user moved the layer since, the move is applied in the
    frame in which the scan is shown, so that voxels which lie on each other on the screen do
    so in the patient.

    Parameters
    ----------
    layer
        A 3D image or labels layer.
    layers
        Where to look for the scan that a layer of the user's own was drawn on.

    Raises
    ------
    ScanError
        If the layer is no 3D scan.
    """
    grid = _shown_grid(layer)
    noted = source_of(layer, layers)
    if noted is None:
        return Volume(grid.array, RAS_TO_DISPLAY @ grid.affine, layer.name)
    placed = Volume(grid.array, noted["shown"], layer.name)
    if grid_distance(placed, grid) < UNMOVED_TOLERANCE:
        return Volume(grid.array, noted["affine"], layer.name)
    moved = noted["affine"] @ np.linalg.inv(noted["shown"]) @ grid.affine
    return Volume(grid.array, moved, layer.name)


def is_scan(layer: Layer) -> bool:
    """Say whether a layer is a three-dimensional grey-level or label array.

    Of several levels only if this plugin opened it: others may place them in ways of their own.
    """
    if layer.multiscale and scan_metadata(layer) is None:
        return False
    return not getattr(layer, "rgb", False) and layer.ndim == 3


def finest(layer: Layer) -> Any:
    """Return a layer's data; of several levels, the finest."""
    return layer.data[0] if layer.multiscale else layer.data


def _shown_grid(layer: Layer) -> Volume:
    zeros = np.broadcast_to(np.uint8(0), finest(layer).shape if is_scan(layer) else ())
    return Volume(zeros, world_matrix(layer), layer.name)


def _require_scan(layer: Layer) -> None:
    if is_scan(layer):
        return
    if layer.multiscale:
        problem = "is multiscale; add its finest level as a layer of its own"
    elif getattr(layer, "rgb", False):
        problem = "holds colours, not intensities; convert it to grey levels"
    else:
        advice = (
            "Choose the layer of a whole scan"
            if layer.ndim < 3
            else "Split channels or time points into layers of their own"
        )
        problem = f"has {layer.ndim} dimensions; a scan must have 3. {advice}"
    raise ScanError(f"“{layer.name}” {problem}.")


def _millimetres(unit: Any) -> float:
    """Return how many millimetres a pint unit is; 1 for what is no length."""
    return float((1 * unit).to("mm").magnitude) if unit.is_compatible_with("mm") else 1.0
