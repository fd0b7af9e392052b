"""Layers of the Inspect dock over a scan: one of each kind, renewed in place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from napari_medcontext.core.volume import Volume
from napari_medcontext.layer_data import data_over
from napari_medcontext.layer_geometry import METADATA_KEY, layer_grid, scan_metadata, world_matrix

_LayerType = TypeVar("_LayerType", Image, Labels)


def show_over(
    viewer: ViewerModel,
    layer_type: type[_LayerType],
    volume: Volume,
    scan: Image,
    what: str,
    attributes: Mapping[str, Any],
) -> _LayerType:
    """Show something of the Inspect dock over a scan, in place of what it showed before.

    There is one such layer of each kind, whichever scan it lies on; the user's selection stays
    as it is.

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
    place["metadata"][METADATA_KEY]["inspection"] = what
    name = f"{scan.name} · {what}"
    if (layer := shown_over(viewer, what)) is not None and isinstance(layer, layer_type):
        # Each property that is set draws the layer anew, so that most draws set none.
        moved = not np.allclose(world_matrix(layer), place["metadata"][METADATA_KEY]["shown"])
        layer.data = data
        for key, value in place.items():
            if moved or key == "metadata":
                setattr(layer, key, value)
        if layer.name != name:
            layer.name = name
        return layer
    selected = set(viewer.layers.selection)
    layer = layer_type(data, name=name, **place, **attributes)
    viewer.add_layer(layer)
    viewer.layers.selection = selected
    return layer


def shown_over(viewer: ViewerModel, what: str) -> Layer | None:
    """Return the layer of the Inspect dock of a kind, if it is there."""
    kinds = ((layer, scan_metadata(layer) or {}) for layer in viewer.layers)
    return next((layer for layer, noted in kinds if noted.get("inspection") == what), None)


def take_away(viewer: ViewerModel, what: str) -> None:
    """Remove the layer of the Inspect dock of a kind, if it is there."""
    if (layer := shown_over(viewer, what)) is not None:
        viewer.layers.remove(layer)


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
