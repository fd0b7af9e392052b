"""Predictions that lie in files as layers: held, or read where they are looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_medcontext.core.config import RunSpec
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.formats.ome_zarr import is_zarr
from napari_medcontext.core.io import read_volume
from napari_medcontext.core.prediction_plan import probability_path
from napari_medcontext.layer_data import LayerData
from napari_medcontext.layer_geometry import finest, placement
from napari_medcontext.prediction_layers import (
    add_prediction,
    noted_prediction,
    probability_attributes,
)
from napari_medcontext.scan_metadata import METADATA_KEY, ScanMetadata
from napari_medcontext.study import StudyFile


def add_saved_prediction(
    viewer: ViewerModel,
    path: Path,
    image_layer: Image,
    name: str,
    run: Path,
    spec: RunSpec | None,
    *,
    probabilities: bool,
) -> Labels:
    """Show predicted labels of a file on their image; OME-Zarr stays in the file.

    Parameters
    ----------
    viewer, image_layer, name, run, spec
        As ``add_prediction`` takes them.
    path
        The labels'.
    probabilities
        Whether each class's probability lies beside them and is shown too.

    Raises
    ------
    ScanError
        If the prediction does not lie on the image's grid.
    """
    if is_zarr(path):
        return _add_lazy(viewer, path, image_layer, name, run, spec, probabilities=probabilities)
    labels = read_volume(path)
    maps = {
        class_name: read_volume(probability_path(path, class_id)).array
        for class_id, class_name in labels.class_names.items()
        if probabilities
    }
    return add_prediction(viewer, labels, image_layer, name, maps, run, spec)


def _add_lazy(
    viewer: ViewerModel,
    path: Path,
    image_layer: Image,
    name: str,
    run: Path,
    spec: RunSpec | None,
    *,
    probabilities: bool,
) -> Labels:
    from napari_medcontext.zarr_layers import probability_layer, zarr_layers

    (labels,) = zarr_layers(StudyFile(path, "labels"))
    names = labels[1]["metadata"][METADATA_KEY]["class_names"]
    noted = noted_prediction(viewer, image_layer, names, run, spec)
    noted["prediction_name"] = name
    for class_id, class_name in names.items() if probabilities else ():
        opened = probability_layer(probability_path(path, class_id))
        place = _lazy_place(opened, image_layer, noted)
        attributes = probability_attributes(class_name, names)
        viewer.add_layer(Image(opened[0], name=f"{name} · {class_name}", **place, **attributes))
    place = _lazy_place(labels, image_layer, noted)
    attributes = {key: labels[1][key] for key in ("colormap", "features") if key in labels[1]}
    layer = Labels(labels[0], name=name, visible=image_layer.visible, **place, **attributes)
    viewer.add_layer(layer)
    return layer


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
