"""From a volume to the data and attributes of a napari layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from napari.layers import Layer
from napari.utils.transforms import Affine as Transform

from napari_medcontext.core.colours import class_colours
from napari_medcontext.core.labels import as_label_array
from napari_medcontext.core.volume import Array, Volume
from napari_medcontext.layer_geometry import (
    AXIS_LABELS,
    DISPLAY_ORIENTATION,
    layer_grid,
    metadata_of,
    placement,
    world_matrix,
)
from napari_medcontext.scan_metadata import METADATA_KEY

LayerData = tuple[Array, dict[str, Any], str]
Placement = dict[str, Any]

CONTRAST_PERCENTILES = (0.5, 99.5)
_SAMPLED_VOXELS = 200_000

INDEX_COLUMN, CLASS_COLUMN = "index", "class"
"""Columns of a labels layer's features table: the class ids, and their names."""


def image_layer_data(volume: Volume, path: str | None = None) -> LayerData:
    """Return a scan as napari's ``(data, attributes, "image")``, placed in the display world.

    Parameters
    ----------
    volume
        Of any orientation; the layer's data are a view on its array, axes ``(z, y, x)``.
    path
        The file that it came from.
    """
    data, attributes = placed_layer(volume, path)
    return data, attributes | {"contrast_limits": contrast_limits(data)}, "image"


def labels_layer_data(volume: Volume, path: str | None = None) -> LayerData:
    """Return labels as napari's ``(data, attributes, "labels")``, placed in the display world.

    Parameters
    ----------
    volume
        Class ids; whole numbers of any type, kept in the smallest unsigned one.
    path
        The file that they came from.

    Raises
    ------
    ScanError
        If a voxel is negative or no whole number.
    """
    data, attributes = placed_layer(volume, path)
    data = as_label_array(data, volume.name)
    return data, attributes | class_attributes(data, volume.class_names), "labels"


def data_over(
    volume: Volume, layer: Layer, layers: Iterable[Layer] = ()
) -> tuple[Array, Placement]:
    """Return a volume's voxels on a layer's axes, and what puts them where they lie on it.

    Parameters
    ----------
    volume
        Of any spacing and extent; its axes run along the layer's, as those of a scan that was
        resampled do.
    layer
        The layer to lie on, wherever the user moved it.
    layers
        Where to look for the scan that a layer of the user's own was drawn on.
    """
    grid = layer_grid(layer, layers)
    turned = volume.reoriented(grid.orientation)
    onto = np.linalg.inv(grid.affine) @ turned.affine
    place = placement(layer)
    own = Transform(**{name: place[name] for name in ("scale", "translate", "rotate", "shear")})
    noted = metadata_of(turned, turned)
    noted["shown"] = world_matrix(layer) @ onto
    place["translate"] = own(onto[:3, 3])
    place["scale"] = np.multiply(place["scale"], np.diag(onto)[:3])
    return turned.array, place | {"metadata": {METADATA_KEY: noted}}


def contrast_limits(
    data: Array, percentiles: tuple[float, float] = CONTRAST_PERCENTILES
) -> tuple[float, float]:
    """Return limits in which the bulk of a scan is seen, from a thinned-out copy."""
    step = max(1, round((data.size / _SAMPLED_VOXELS) ** (1 / 3)))
    sample = data[(slice(None, None, step),) * data.ndim]
    sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        return 0.0, 1.0
    low, high = (float(limit) for limit in np.percentile(sample, percentiles))
    if low == high:
        low, high = float(sample.min()), float(sample.max())
    return (low, high) if low < high else (low, low + 1.0)


def class_attributes(data: Array, class_names: Mapping[int, str]) -> dict[str, Any]:
    """Return the colours and the features table of a labels layer.

    Parameters
    ----------
    data
        The layer's class ids, unsigned.
    class_names
        Class id to name.
    """
    rare = np.unique(data[data > 255]) if data.dtype != np.uint8 else ()
    names = {index: name for index, name in sorted(class_names.items()) if index}
    table = {INDEX_COLUMN: list(names), CLASS_COLUMN: list(names.values())}
    return {"colormap": class_colours(rare)} | ({"features": table} if names else {})


def placed_layer(volume: Volume, path: str | None) -> tuple[Array, dict[str, Any]]:
    """Return a volume's voxels on the axes of the display, and what puts them in their place."""
    shown = volume.reoriented(DISPLAY_ORIENTATION)
    noted = metadata_of(volume, shown, path)
    return shown.array, {
        "name": volume.name,
        "scale": tuple(np.diag(noted["shown"])[:3]),
        "translate": tuple(noted["shown"][:3, 3]),
        "units": ("mm",) * 3,
        "axis_labels": AXIS_LABELS,
        "metadata": {METADATA_KEY: noted},
    }
