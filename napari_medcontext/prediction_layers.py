"""Predictions as layers of a viewer, on the scans that they were made from."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from napari_medcontext.core.colours import class_colour
from napari_medcontext.core.config import RunSpec
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.labels import as_label_array
from napari_medcontext.core.volume import Array, Volume
from napari_medcontext.layer_data import class_attributes
from napari_medcontext.layer_geometry import (
    layer_grid,
    noted_of,
    placement,
    source_of,
)
from napari_medcontext.scan_metadata import METADATA_KEY, ScanMetadata, scan_metadata

_LayerType = TypeVar("_LayerType", Image, Labels)


@dataclass(frozen=True, eq=False)
class Provenance:
    """Of what a prediction is, what made it, and what its layer is called.

    ``run`` is the folder of the run that predicted: two runs of one name are two. ``spec`` is
    that run's settings, of which the regions and the label of the unknown are noted.
    """

    image: Image
    name: str
    run: Path | None = None
    spec: RunSpec | None = None

    def noted(self, viewer: ViewerModel, class_names: Mapping[int, str]) -> ScanMetadata:
        """Return what is noted of the prediction's layers."""
        noted = noted_of(self.image, list(viewer.layers)) | {
            "class_names": dict(class_names),
            "prediction_of": self.image.name,
            "prediction_run": None if self.run is None else str(self.run),
        }
        if self.spec is not None:
            unknown = self.spec.config.data.ignore_label
            noted |= {"regions": dict(self.spec.regions), "unknown_id": unknown}
        return noted

    def probability_name(self, class_name: str) -> str:
        """Return what the layer of a class's probability is called."""
        return f"{self.name} · {class_name}"


def add_prediction(
    viewer: ViewerModel,
    volume: Volume,
    provenance: Provenance,
    probabilities: Mapping[str, Array] | None = None,
) -> Labels:
    """Show a prediction on the image that it was made from.

    An earlier prediction of that name, image and run is renewed in place, so that layers do
    not pile up; the user's own layers stay as they are, and so do predictions that were
    corrected, renamed or locked. A new one is hidden where its image is.

    Parameters
    ----------
    viewer
        Where the image is.
    volume
        Predicted class ids on the image's grid, in any axis order.
    provenance
        The image, and what made the prediction.
    probabilities
        Class name to that class's probability, 0 to 1, axes as in ``volume``; they become
        hidden image layers.

    Raises
    ------
    ScanError
        If the prediction does not lie on the image's grid.
    """
    image = provenance.image
    predicted = _on_layer_axes(volume, image, list(viewer.layers))
    noted = provenance.noted(viewer, volume.class_names)
    for class_name, array in (probabilities or {}).items():
        turned = volume.with_array(np.asarray(array, np.float32)).reoriented(predicted.orientation)
        attributes = probability_attributes(class_name, volume.class_names)
        layer_name = provenance.probability_name(class_name)
        _renew_or_add(viewer, Image, image, layer_name, noted, turned.array, attributes)
    data = as_label_array(predicted.array, provenance.name)
    attributes = class_attributes(data, volume.class_names)
    return _renew_or_add(viewer, Labels, image, provenance.name, noted, data, attributes)


def add_variant(viewer: ViewerModel, prediction: Labels, data: Array, what: str) -> Labels:
    """Show other labels of a prediction beside it, as a prediction of the same scan.

    An earlier variant of that name is renewed in place, as ``add_prediction`` does.

    Parameters
    ----------
    viewer
        Where the prediction is.
    prediction
        The labels that they were made from.
    data
        Class ids along the axes of the prediction's data.
    what
        How it differs; stands in the name.
    """
    noted = noted_of(prediction, list(viewer.layers))
    for key in ("prediction_name", "fingerprint"):
        noted.pop(key, None)
    noted.setdefault("prediction_of", prediction.name)
    attributes = {"features": prediction.features, "colormap": prediction.colormap}
    return _renew_or_add(
        viewer, Labels, prediction, f"{prediction.name} · {what}", noted, data, attributes
    )


def probability_attributes(class_name: str, class_names: Mapping[int, str]) -> dict[str, Any]:
    """Return how a class's probability looks: in the class's colour, hidden at first."""
    class_id = next((index for index, name in class_names.items() if name == class_name), 1)
    colours = [[0, 0, 0, 0], class_colour(class_id)]
    return {
        "colormap": {"colors": colours, "name": f"probability of class {class_id}"},
        "blending": "additive",
        "contrast_limits": (0.0, 1.0),
        "visible": False,
    }


def _on_layer_axes(volume: Volume, image_layer: Image, layers: list[Layer]) -> Volume:
    """Turn a volume onto the axes of its image layer, moved by the user since or not."""
    grid = layer_grid(image_layer, layers)
    noted = source_of(image_layer, layers)
    unmoved = grid if noted is None else replace(grid, affine=noted["affine"])
    for candidate in (grid, unmoved):
        if (turned := volume.turned_onto(candidate)) is not None:
            return turned
    raise ScanError(
        f"The prediction “{volume.name}”, {volume.shape}, does not lie on the voxels of "
        f"“{image_layer.name}”, {grid.shape}. Predict this image again."
    )


def _renew_or_add(
    viewer: ViewerModel,
    layer_type: type[_LayerType],
    image_layer: Layer,
    name: str,
    noted: ScanMetadata,
    data: Array,
    attributes: dict[str, Any],
) -> _LayerType:
    noted = ScanMetadata(**noted, prediction_name=name, fingerprint=_fingerprint(data))
    place = placement(image_layer)
    for layer in viewer.layers:
        if isinstance(layer, layer_type) and _is_earlier(layer, noted, data.shape):
            layer.data = data
            layer.metadata = layer.metadata | {METADATA_KEY: noted}
            for key, value in place.items():
                setattr(layer, key, value)
            if layer_type is Labels:
                for key, value in attributes.items():
                    setattr(layer, key, value)
            return layer
    metadata = {METADATA_KEY: noted}
    # Over another scan, which is shown instead of its own, a prediction would look wrong.
    attributes = {"visible": image_layer.visible} | attributes
    layer = layer_type(data, name=name, metadata=metadata, **place, **attributes)
    viewer.add_layer(layer)
    return layer


def _is_earlier(layer: Layer, wanted: ScanMetadata, shape: tuple[int, ...]) -> bool:
    """Say whether a layer is our earlier prediction and was left alone by the user."""
    noted = scan_metadata(layer)
    if noted is None or getattr(layer, "locked", False) or layer.data.shape != shape:
        return False
    keys = ("prediction_of", "prediction_name", "prediction_run")
    own_name = re.escape(wanted["prediction_name"])
    # napari numbers a name that another layer bears already.
    return (
        all(noted.get(key) == wanted.get(key) for key in keys)
        and re.fullmatch(rf"{own_name}( \[\d+\])?", layer.name) is not None
        and "fingerprint" in noted
        and noted["fingerprint"] == _fingerprint(layer.data)
    )


def _fingerprint(data: Array) -> int:
    """Return a checksum of voxels, by which a stroke of the user's brush is noticed."""
    return zlib.crc32(np.ascontiguousarray(data))
