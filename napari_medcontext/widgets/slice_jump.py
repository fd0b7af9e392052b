"""Go to a slice of a layer, wherever the layer lies, and tell which one is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Layer


def look_at_voxel(viewer: Any, layer: Layer, voxel: Sequence[float]) -> None:
    """Move the viewer's sliders to a voxel of a layer; its camera stays."""
    place = np.asarray(layer.data_to_world(tuple(voxel)), dtype=float)
    # A layer has the last axes of a viewer that holds others of more dimensions too.
    axes = range(viewer.dims.ndim - len(place), viewer.dims.ndim)
    viewer.dims.set_point(tuple(axes), tuple(float(value) for value in place))


def shown_slice(viewer: Any, layer: Layer, axis: int) -> int:
    """Return the index, along an axis of a layer's data, of the slice that the sliders are at."""
    place = np.asarray(viewer.dims.point[-layer.ndim :], dtype=float)
    index = round(float(layer.world_to_data(place)[axis]))
    return min(max(index, 0), layer.data.shape[axis] - 1)
