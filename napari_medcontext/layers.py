"""Between volumes and napari's layers: the only module that adds layers to a viewer."""

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

from napari_medcontext.colours import class_colour, class_colours
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.labels import as_label_array
from napari_medcontext.core.volume import Array, Volume, same_grid
from napari_medcontext.layer_geometry import (
    AXIS_LABELS,
    DISPLAY_ORIENTATION,
    METADATA_KEY,
    ScanMetadata,
    layer_grid,
    metadata_of,
    on_source_axes,
    placement,
    scan_metadata,
    source_of,
    world_matrix,
)
from napari_medcontext.pairing import pair_layers, scan_layers

__all__ = [
    "add_prediction",
    "add_volumes",
    "class_colours",
    "contrast_limits",
    "image_layer_data",
    "labels_layer_data",
    "layer_grid",
    "layer_to_volume",
    "pair_layers",
    "scan_layers",
    "to_source_orientation",
]

LayerData = tuple[Array, dict[str, Any], str]
_LayerType = TypeVar("_LayerType", Image, Labels)

CONTRAST_PERCENTILES = (0.5, 99.5)
_SAMPLED_VOXELS = 200_000
_INDEX, _CLASS = "index", "class"


def image_layer_data(volume: Volume, path: str | None = None) -> LayerData:
    """Return a scan as napari's ``(data, attributes, "image")``, placed in the display world.

    Parameters
    ----------
    volume
        Of any orientation; the layer's data are a view on its array, axes ``(z, y, x)``.
    path
        The file that it came from.
    """
    data, attributes = _layer_data(volume, path)
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
    data, attributes = _layer_data(volume, path)
    data = as_label_array(data, volume.name)
    return data, attributes | _class_attributes(data, volume.class_names), "labels"


def layer_to_volume(layer: Layer, layers: Iterable[Layer] = ()) -> Volume:
    """Return a layer's voxels with their true place in the patient.

    Parameters
    ----------
    layer
        A 3D image or labels layer, made by this plugin or not.
    layers
        The viewer's layers, among which the scan is found that a "New labels" layer was
        drawn on.

    Returns
    -------
    Volume
        Axes as in the layer's data, usually ``(z, y, x)``; a view, not a copy. A layer that
        the user moved lies where it was moved to. A layer of which nothing is known is
        taken to lie where it is shown.

    Raises
    ------
    ScanError
        If the layer is multiscale, in colour or of other than three dimensions.
    """
    return replace(
        layer_grid(layer, layers), array=np.asarray(layer.data), class_names=class_names_of(layer)
    )


def to_source_orientation(layer: Layer, layers: Iterable[Layer] = ()) -> Volume:
    """Return a layer's voxels on the axes of the file that it, or its scan, came from.

    Written to disk, it has that file's shape and affine, unless the user moved the layer.
    Parameters and errors are those of :func:`layer_to_volume`.
    """
    layers = list(layers)
    return on_source_axes(layer_to_volume(layer, layers), source_of(layer, layers))


def class_names_of(layer: Layer) -> dict[int, str]:
    """Return a labels layer's names by class id, from its metadata or its features table."""
    noted = scan_metadata(layer)
    if noted is not None and noted.get("class_names"):
        return dict(noted["class_names"])
    features = getattr(layer, "features", None)
    if features is None or not {_INDEX, _CLASS} <= set(features.columns):
        return {}
    rows = zip(features[_INDEX], features[_CLASS], strict=True)
    return {int(index): name for index, name in rows if isinstance(name, str)}


def add_prediction(
    viewer: ViewerModel,
    volume: Volume,
    image_layer: Image,
    name: str,
    probabilities: Mapping[str, Array] | None = None,
    run: Path | None = None,
) -> Labels:
    """Show a prediction on the image that it was made from.

    An earlier prediction of that name, image and run is renewed in place, so that layers do
    not pile up; the user's own layers stay as they are, and so do predictions that were
    corrected, renamed or locked.

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

    Raises
    ------
    ScanError
        If the prediction does not lie on the image's grid.
    """
    predicted = _on_layer_axes(volume, image_layer, list(viewer.layers))
    noted = _noted_of(image_layer, list(viewer.layers))
    noted |= {
        "class_names": dict(volume.class_names),
        "prediction_of": image_layer.name,
        "prediction_run": None if run is None else str(run),
    }
    for class_name, array in (probabilities or {}).items():
        turned = volume.with_array(np.asarray(array, np.float32)).reoriented(predicted.orientation)
        attributes = _probability_attributes(class_name, volume.class_names)
        layer_name = f"{name} · {class_name}"
        _renew_or_add(viewer, Image, image_layer, layer_name, noted, turned.array, attributes)
    data = as_label_array(predicted.array, name)
    attributes = _class_attributes(data, volume.class_names)
    return _renew_or_add(viewer, Labels, image_layer, name, noted, data, attributes)


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


def _layer_data(volume: Volume, path: str | None) -> tuple[Array, dict[str, Any]]:
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


def _class_attributes(data: Array, class_names: Mapping[int, str]) -> dict[str, Any]:
    rare = np.unique(data[data > 255]) if data.dtype != np.uint8 else ()
    names = {index: name for index, name in sorted(class_names.items()) if index}
    table = {_INDEX: list(names), _CLASS: list(names.values())}
    return {"colormap": class_colours(rare)} | ({"features": table} if names else {})


def _probability_attributes(class_name: str, class_names: Mapping[int, str]) -> dict[str, Any]:
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
        turned = volume.reoriented(candidate.orientation)
        if same_grid(candidate, turned):
            return turned
    raise ScanError(
        f"The prediction “{volume.name}”, {volume.shape}, does not lie on the voxels of "
        f"“{image_layer.name}”, {grid.shape}. Predict this image again."
    )


def _noted_of(layer: Layer, layers: list[Layer]) -> ScanMetadata:
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
    image_layer: Image,
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
        and noted.get("fingerprint") == _fingerprint(layer.data)
    )


def _fingerprint(data: Array) -> int:
    """Return a checksum of voxels, by which a stroke of the user's brush is noticed."""
    return zlib.crc32(np.ascontiguousarray(data))
