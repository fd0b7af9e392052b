"""Save layers as NIfTI files that lie exactly on the scans that they belong to."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import napari
from napari.layers import Image, Labels, Layer
from napari.utils.notifications import show_warning

from napari_medcontext.core.io import write_volume
from napari_medcontext.core.labels import as_label_array
from napari_medcontext.core.volume import Volume
from napari_medcontext.layer_geometry import source_of
from napari_medcontext.layer_volumes import to_source_orientation


def write_layer(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write an image or labels layer, given as napari gives it to a writer.

    Parameters
    ----------
    path
        A name that ends in ``.nii`` or ``.nii.gz``.
    data
        The layer's array.
    attributes
        The layer's attributes; the current viewer is searched for the scan that a
        "New labels" layer was drawn on.

    Raises
    ------
    MedContextError
        If the layer is no 3D scan, its labels are no class ids, or the folder cannot be
        written.
    """
    # Only an image has contrast limits; the attributes do not name the layer's type.
    layer_type = Image if "contrast_limits" in attributes else Labels
    viewer = napari.current_viewer()
    layers = [] if viewer is None else list(viewer.layers)
    layer = layer_type(data, **attributes)
    write = save_labels if layer_type is Labels else save_image
    return [str(write(path, layer, layers))]


def save_labels(path: str | os.PathLike[str], layer: Labels, layers: Iterable[Layer] = ()) -> Path:
    """Write a labels layer with the shape and affine of its scan's file.

    Class ids are stored in the smallest unsigned integer type, class names in the header.
    Parameters and errors are those of :func:`save_image`.
    """
    volume = _source_volume(layer, layers)
    return write_volume(path, replace(volume, array=as_label_array(volume.array, layer.name)))


def save_image(path: str | os.PathLike[str], layer: Image, layers: Iterable[Layer] = ()) -> Path:
    """Write an image layer with the shape and affine of the file that it came from.

    Parameters
    ----------
    path
        A name that ends in ``.nii`` or ``.nii.gz``.
    layer
        The layer.
    layers
        The viewer's layers, among which its scan is found where it does not know it itself.

    Raises
    ------
    MedContextError
        If the layer is no 3D scan or the folder cannot be written.
    """
    return write_volume(path, _source_volume(layer, layers))


def _source_volume(layer: Layer, layers: Iterable[Layer]) -> Volume:
    layers = list(layers)
    volume = to_source_orientation(layer, layers)
    if source_of(layer, layers) is None:
        show_warning(
            f"No open scan has the shape and place of “{layer.name}”: its orientation was taken "
            "from the screen (down is towards the feet, left is the patient's right). "
            "Open its scan and save again if that is wrong."
        )
    return volume
