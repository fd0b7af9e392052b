"""What a panel shows, and the two layers that show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer

from napari_medcontext.core.volume import Array, Volume
from napari_medcontext.layer_data import LayerData, image_layer_data, labels_layer_data

TITLE_POINTS = 8
MOVED = ("scale", "translate", "metadata", "colormap", "features")
"""What differs between two grids, or between two sets of classes."""


@dataclass(frozen=True, eq=False)
class Panel:
    """What one panel shows.

    ``image`` and ``labels`` share one grid, shape ``(x, y, z)``; ``affine`` takes its
    indices to RAS+ millimetres. Without ``labels`` the image is shown alone.
    """

    title: str
    image: Array
    labels: Array | None
    affine: Array
    class_names: Mapping[int, str] = field(default_factory=dict)

    def image_volume(self) -> Volume:
        """Return the image with its geometry."""
        return Volume(self.image, self.affine, name=self.title)

    def labels_volume(self) -> Volume:
        """Return the labels with their geometry; empty ones where there are none."""
        labels = np.zeros(self.image.shape, np.uint8) if self.labels is None else self.labels
        return Volume(labels, self.affine, name=self.title, class_names=self.class_names)


def empty_panel(title: str) -> Panel:
    """Return a panel that shows nothing yet but its title."""
    return Panel(title, np.zeros((2, 2, 2), np.float32), None, np.eye(4))


def image_layer(panel: Panel) -> Image:
    """Return the panel's image under its title."""
    image = Layer.create(*image_layer_data(panel.image_volume()))
    image.name = panel.title
    image.name_overlay.font_size = TITLE_POINTS
    image.name_overlay.visible = True
    # In 3D the scan is the faint background in which the labels stand.
    image.rendering = "attenuated_mip"
    image.blending = "translucent_no_depth"
    return image


def labels_layer(panel: Panel) -> Labels:
    """Return the panel's labels, empty if it has none."""
    labels = Layer.create(*labels_layer_data(panel.labels_volume()))
    labels.blending = "translucent_no_depth"
    return labels


def move_layer(layer: Layer, layer_data: LayerData) -> None:
    """Give a layer other voxels, on another grid."""
    data, attributes, _ = layer_data
    layer.data = data
    for name in MOVED:
        if name in attributes:
            setattr(layer, name, attributes[name])


def best_slice(labels: Sequence[Any]) -> float:
    """Return where, along the first axis in mm, the first labels that there are cover most."""
    for layer in labels:
        counts = np.count_nonzero(layer.data, axis=(1, 2))
        if counts.any():
            return float(layer.data_to_world((int(counts.argmax()), 0, 0))[0])
    middle = (labels[0].data.shape[0] - 1) // 2
    return float(labels[0].data_to_world((middle, 0, 0))[0])
