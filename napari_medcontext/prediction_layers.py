"""What the plugin adds to a viewer: predictions on their scans, and volumes of a preview.

No other module but ``overlays`` adds layers to a viewer.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
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
from napari_medcontext.layer_data import (
    LayerData,
    class_attributes,
    image_layer_data,
    labels_layer_data,
)
from napari_medcontext.layer_geometry import (
    METADATA_KEY,
    ScanMetadata,
    finest,
    layer_grid,
    metadata_of,
    placement,
    scan_metadata,
    source_of,
    world_matrix,
)

_LayerType = TypeVar("_LayerType", Image, Labels)


def add_prediction(
    viewer: ViewerModel,
    volume: Volume,
    image_layer: Image,
    name: str,
    probabilities: Mapping[str, Array] | None = None,
    run: Path | None = None,
    spec: RunSpec | None = None,
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
    image_layer
        The image.
    name
        Of the labels layer.
    probabilities
        Class name to that class's probability, 0 to 1, axes as in ``volume``; they become
        hidden image layers.
    run
        The folder of the run that predicted: two runs of one name are two.
    spec
        That run's settings; its regions and its label of the unknown are noted.

    Raises
    ------
    ScanError
        If the prediction does not lie on the image's grid.
    """
    predicted = _on_layer_axes(volume, image_layer, list(viewer.layers))
    noted = _noted_prediction(viewer, image_layer, volume.class_names, run, spec)
    for class_name, array in (probabilities or {}).items():
        turned = volume.with_array(np.asarray(array, np.float32)).reoriented(predicted.orientation)
        attributes = _probability_attributes(class_name, volume.class_names)
        layer_name = f"{name} · {class_name}"
        _renew_or_add(viewer, Image, image_layer, layer_name, noted, turned.array, attributes)
    data = as_label_array(predicted.array, name)
    attributes = class_attributes(data, volume.class_names)
    return _renew_or_add(viewer, Labels, image_layer, name, noted, data, attributes)


def add_lazy_prediction(
    viewer: ViewerModel,
    labels: LayerData,
    image_layer: Image,
    name: str,
    probabilities: Mapping[str, LayerData],
    run: Path,
    spec: RunSpec | None,
) -> Labels:
    """Show a prediction that lies in a file, read where it is looked at, on its image.

    Parameters
    ----------
    viewer, image_layer, name, run, spec
        As ``add_prediction`` takes them.
    labels
        What the file opens as, on the axes of the display.
    probabilities
        Class name to what the file of its probability opens as.

    Raises
    ------
    ScanError
        If the prediction does not lie on the image's grid.
    """
    names = labels[1]["metadata"][METADATA_KEY]["class_names"]
    noted = _noted_prediction(viewer, image_layer, names, run, spec)
    noted["prediction_name"] = name
    for class_name, opened in probabilities.items():
        attributes = _probability_attributes(class_name, names)
        layer_name = f"{name} · {class_name}"
        place = _lazy_place(opened, image_layer, noted)
        viewer.add_layer(Image(opened[0], name=layer_name, **place, **attributes))
    place = _lazy_place(labels, image_layer, noted)
    attributes = {key: labels[1][key] for key in ("colormap", "features") if key in labels[1]}
    layer = Labels(labels[0], name=name, visible=image_layer.visible, **place, **attributes)
    viewer.add_layer(layer)
    return layer


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


def _probability_attributes(class_name: str, class_names: Mapping[int, str]) -> dict[str, Any]:
    class_id = next((index for index, name in class_names.items() if name == class_name), 1)
    colours = [[0, 0, 0, 0], class_colour(class_id)]
    return {
        "colormap": {"colors": colours, "name": f"probability of class {class_id}"},
        "blending": "additive",
        "contrast_limits": (0.0, 1.0),
        "visible": False,
    }


def _noted_prediction(
    viewer: ViewerModel,
    image_layer: Image,
    class_names: Mapping[int, str],
    run: Path | None,
    spec: RunSpec | None,
) -> ScanMetadata:
    noted = noted_of(image_layer, list(viewer.layers))
    noted |= {
        "class_names": dict(class_names),
        "prediction_of": image_layer.name,
        "prediction_run": None if run is None else str(run),
    }
    if spec is not None:
        noted |= {"regions": dict(spec.regions), "unknown_id": spec.config.data.ignore_label}
    return noted


def _lazy_place(opened: LayerData, image_layer: Image, noted: ScanMetadata) -> dict[str, Any]:
    """Return what puts a file's voxels on an image of the same grid, and names the file."""
    data, attributes, _ = opened
    shape = finest(image_layer).shape
    if data.shape != shape:
        raise ScanError(
            f"The prediction “{attributes['name']}”, {data.shape}, does not lie on the voxels of "
            f"“{image_layer.name}”, {shape}. Predict this image again."
        )
    noted = ScanMetadata(**noted)
    for key in ("path", "unread"):
        noted[key] = attributes["metadata"][METADATA_KEY][key]
    return placement(image_layer) | {"metadata": {METADATA_KEY: noted}}


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


def noted_of(layer: Layer, layers: list[Layer]) -> ScanMetadata:
    """Return a copy of an image's scan metadata, made up from its place if it has none."""
    noted = source_of(layer, layers)
    if noted is None:
        grid = layer_grid(layer)
        noted = metadata_of(grid, grid)
        noted["shown"] = world_matrix(layer)
    return ScanMetadata(**noted)


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
