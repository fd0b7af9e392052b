"""What the plugin adds to a viewer as it comes: scans from files, and volumes of a preview.

Predictions have ``prediction_layers`` and ``saved_predictions``, what docks find ``overlays``. No
other module adds layers to a viewer.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from napari.components import ViewerModel
from napari.layers import Layer

from napari_medcontext.core.volume import Volume
from napari_medcontext.layer_data import LayerData, image_layer_data, labels_layer_data
from napari_medcontext.scan_metadata import METADATA_KEY


def add_opened(viewer: ViewerModel, opened: Iterable[LayerData]) -> None:
    """Show what was read from files, as napari does with what a reader returns."""
    for layer in [Layer.create(*each) for each in opened]:
        viewer.add_layer(layer)


def add_volumes(
    viewer: ViewerModel,
    images: Iterable[Volume],
    labels: Iterable[Volume],
    seen: Container[str],
    preview_of: str,
) -> None:
    """Show the volumes of a preview as new layers, images below labels.

    Parameters
    ----------
    viewer
        Where to.
    images, labels
        The volumes, lowest first; each layer gets its volume's name.
    seen
        The names of those that are switched on.
    preview_of
        The name of the scan; it marks the layers as no scans and no references of their own.
    """
    data = [image_layer_data(volume) for volume in images]
    data += [labels_layer_data(volume) for volume in labels]
    for layer in [Layer.create(*layer_data) for layer_data in data]:
        layer.visible = layer.name in seen
        layer.metadata[METADATA_KEY]["preview_of"] = preview_of
        viewer.add_layer(layer)
