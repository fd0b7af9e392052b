"""Predictions that lie in files as layers: held, or read where they are looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.formats.ome_zarr import is_zarr
from napari_medcontext.core.io import read_volume
from napari_medcontext.core.prediction_plan import probability_path
from napari_medcontext.layer_data import LayerData
from napari_medcontext.layer_geometry import finest, placement
from napari_medcontext.prediction_layers import (
    Provenance,
    add_prediction,
    probability_attributes,
)
from napari_medcontext.scan_metadata import METADATA_KEY, ScanMetadata
from napari_medcontext.study import StudyFile


def add_saved_prediction(
    viewer: ViewerModel, path: Path, provenance: Provenance, *, probabilities: bool
) -> Labels:
    """Show predicted labels of a file on their image; OME-Zarr stays in the file.

    Parameters
    ----------
    viewer, provenance
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
        return _add_lazy(viewer, path, provenance, probabilities=probabilities)
    labels = read_volume(path)
    maps = {
        class_name: read_volume(probability_path(path, class_id)).array
        for class_id, class_name in labels.class_names.items()
        if probabilities
    }
    return add_prediction(viewer, labels, provenance, maps)


def _add_lazy(
    viewer: ViewerModel, path: Path, provenance: Provenance, *, probabilities: bool
) -> Labels:
    from napari_medcontext.zarr_layers import probability_layer, zarr_layers

    image = provenance.image
    (labels,) = zarr_layers(StudyFile(path, "labels"))
    names = labels[1]["metadata"][METADATA_KEY]["class_names"]
    noted = provenance.noted(viewer, names)
    noted["prediction_name"] = provenance.name
    for class_id, class_name in names.items() if probabilities else ():
        opened = probability_layer(probability_path(path, class_id))
        attributes = probability_attributes(class_name, names)
        attributes |= _lazy_place(opened, image, noted)
        name = provenance.probability_name(class_name)
        viewer.add_layer(Image(opened[0], name=name, **attributes))
    attributes = {key: labels[1][key] for key in ("colormap", "features") if key in labels[1]}
    attributes |= _lazy_place(labels, image, noted)
    layer = Labels(labels[0], name=provenance.name, visible=image.visible, **attributes)
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
