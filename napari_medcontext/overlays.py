"""Layers in which a dock shows what it found: one of each kind, renewed in place.

They never pile up, and the user's own layers and selection stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Shapes

from napari_medcontext.core.volume import Affine, Array, Volume
from napari_medcontext.layer_data import data_over
from napari_medcontext.layer_geometry import layer_grid, noted_of, placement, world_matrix
from napari_medcontext.scan_metadata import METADATA_KEY, scan_metadata

HAIR = 1e-3
"""Of a slice's thickness: too little to be seen, and far more than numbers are rounded by."""

_LayerType = TypeVar("_LayerType", Image, Labels, Shapes)


def show_over(
    viewer: ViewerModel,
    layer_type: type[_LayerType],
    volume: Volume,
    scan: Image,
    what: str,
    attributes: Mapping[str, Any],
) -> _LayerType:
    """Show a volume over a scan, in place of what was shown of this kind before.

    Parameters
    ----------
    viewer
        Where the scan is.
    layer_type
        ``Image`` or ``Labels``.
    volume
        What to show; its axes run along the scan's, at any spacing.
    scan
        The image layer that it lies on.
    what
        The kind; it stands in the layer's name.
    attributes
        Colours and the like, for a layer that is new.
    """
    data, place = data_over(volume, scan, list(viewer.layers))
    lies = place["metadata"][METADATA_KEY]["shown"]
    return _shown(viewer, layer_type, data, f"{scan.name} · {what}", what, place, lies, attributes)


def show_on(
    viewer: ViewerModel,
    layer_type: type[_LayerType],
    data: Any,
    layer: Layer,
    what: str,
    about: str,
    attributes: Mapping[str, Any],
) -> _LayerType:
    """Show something on the very voxels of a layer, in place of what was shown of this kind.

    Parameters
    ----------
    viewer, layer_type, what, attributes
        As for ``show_over``; a ``Shapes`` layer is made anew each time, since its colours and
        texts must fit its shapes at every moment.
    data
        Along the axes of the layer's data.
    layer
        The layer that it lies on.
    about
        What it is about; the name begins with it.
    """
    metadata = {METADATA_KEY: noted_of(layer, list(viewer.layers))}
    place = placement(layer) | {"metadata": metadata}
    lies = world_matrix(layer)
    if layer_type is Shapes:
        place["affine"] = _never_halfway(layer)
    return _shown(viewer, layer_type, data, f"{about} · {what}", what, place, lies, attributes)


def shown_over(viewer: ViewerModel, what: str) -> Layer | None:
    """Return the layer of a kind, if the user left it there."""
    kinds = ((layer, scan_metadata(layer) or {}) for layer in viewer.layers)
    return next((layer for layer, noted in kinds if noted.get("aid") == what), None)


def take_away(viewer: ViewerModel, what: str) -> None:
    """Remove the layer of a kind, if it is there."""
    if (layer := shown_over(viewer, what)) is not None:
        viewer.layers.remove(layer)


def box_slices(box: Sequence[tuple[float, float]]) -> list[Array]:
    """Return a rectangle for each slice of a box, for napari draws no boxes in 2D.

    Parameters
    ----------
    box
        Where it begins and ends along slices, rows and columns, in voxels whose first reaches
        from −0.5 to 0.5.

    Returns
    -------
    list of array
        Corners ``(4, 3)``, for a ``Shapes`` layer.
    """
    (first, last), (top, bottom), (left, right) = box
    corners = [(top, left), (top, right), (bottom, right), (bottom, left)]
    return [
        np.array([(index, *corner) for corner in corners])
        for index in range(math.ceil(first), math.floor(last) + 1)
    ]


def _never_halfway(layer: Layer) -> Affine:
    """Return a layer's affine, moved a hair along its slices.

    napari shows a shape as long as it is nearer than half a slice: halfway between two, where the
    slider stops when another layer begins half a voxel off, it would show neither.
    """
    first, second = (np.array(layer.data_to_world((index, 0, 0))) for index in (0, 1))
    matrix = np.array(layer.affine.affine_matrix)
    matrix[:-1, -1] += HAIR * (second - first)
    return matrix


def slice_position(
    volume: Volume, axis: int, index: int, scan: Layer, layers: Iterable[Layer]
) -> tuple[int, float]:
    """Return where a slice of a volume over a scan lies in the viewer.

    Parameters
    ----------
    volume
        Its axes run along the scan's, at any spacing.
    axis, index
        The slice: index ``index`` along the volume's array axis ``axis``.
    scan
        The layer that it lies on.
    layers
        Of the viewer.

    Returns
    -------
    axis, millimetres
        The viewer's axis across the slice, among the last three, and the place on it.
    """
    grid = layer_grid(scan, layers)
    onto = world_matrix(scan) @ np.linalg.inv(grid.affine) @ volume.affine
    middle = [(side - 1) / 2 for side in volume.shape]
    middle[axis] = index
    across = int(np.argmax(np.abs(onto[:3, axis])))
    return across, float((onto @ [*middle, 1.0])[across])


def _shown(
    viewer: ViewerModel,
    layer_type: type[_LayerType],
    data: Any,
    name: str,
    what: str,
    place: dict[str, Any],
    lies: Affine,
    attributes: Mapping[str, Any],
) -> _LayerType:
    """Renew or add a layer; ``lies`` is where ``place`` puts it in the viewer."""
    place["metadata"][METADATA_KEY]["aid"] = what
    before = shown_over(viewer, what)
    if isinstance(before, layer_type) and not isinstance(before, Shapes):
        # Each property that is set draws the layer anew, so that most renewals set none.
        moved = not np.allclose(world_matrix(before), lies)
        before.data = data
        for key, value in place.items():
            if moved or key == "metadata":
                setattr(before, key, value)
        if before.name != name:
            before.name = name
        return before
    selected = set(viewer.layers.selection) - {before}
    if before is not None:
        attributes = {**attributes, "visible": before.visible, "opacity": before.opacity}
        viewer.layers.remove(before)
    layer = layer_type(data, name=name, **place, **attributes)
    viewer.add_layer(layer)
    viewer.layers.selection = selected
    return layer
