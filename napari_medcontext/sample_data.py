"""The synthetic study that napari shows under File > Open Sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_medcontext.core.phantom import make_study
from napari_medcontext.layer_data import image_layer_data, labels_layer_data

if TYPE_CHECKING:
    from napari.types import LayerData

SOFT_TISSUE_HU = (-160.0, 240.0)
"""Window in which a radiologist looks at an abdomen."""


def open_sample() -> list[LayerData]:
    """Return six synthetic abdomens and their organs as layers, only the first one visible.

    Returns
    -------
    list of LayerData
        Image, labels, image, labels, …, named “abdomen 1”, “abdomen 1 organs” and so on.
    """
    layers: list[LayerData] = []
    for number, (image, labels) in enumerate(make_study()):
        visible = number == 0
        layers += [
            _shown(image_layer_data(image), visible=visible, contrast_limits=SOFT_TISSUE_HU),
            _shown(labels_layer_data(labels), visible=visible),
        ]
    return layers


def _shown(layer: LayerData, **changes: Any) -> LayerData:
    data, options, kind = layer
    return data, {**options, **changes}, kind
