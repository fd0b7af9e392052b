"""From a napari layer back to a volume: its voxels with their true place in the patient."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from napari.layers import Layer

from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.io import read_geometry
from napari_medcontext.core.volume import Volume, same_grid
from napari_medcontext.layer_data import CLASS_COLUMN, INDEX_COLUMN
from napari_medcontext.layer_geometry import DISPLAY_ORIENTATION, finest, layer_grid, source_of
from napari_medcontext.scan_metadata import ScanMetadata, scan_metadata

SOURCE_TOLERANCE = 1e-6
"""Largest relative difference at which an affine is its file's own, but for rounding."""


def layer_to_volume(layer: Layer, layers: Iterable[Layer] = (), *, held: bool = True) -> Volume:
    """Return a layer's voxels with their true place in the patient.

    Parameters
    ----------
    layer
        A 3D image or labels layer, made by this plugin or not.
    layers
        The viewer's layers, among which the scan is found that a "New labels" layer was
        drawn on.
    held
        Whether voxels that the layer reads when it is looked at are read now; else by
        ``Volume.held``.

    Returns
    -------
    Volume
        Axes as in the layer's data, usually ``(z, y, x)``; a view, not a copy. A layer that
        the user moved lies where it was moved to. A layer of which nothing is known is
        taken to lie where it is shown.

    Raises
    ------
    ScanError
        If the layer is multiscale and not this plugin's, in colour or of other than three
        dimensions; or shows a file lazily that is gone.
    """
    _require_file(layer)
    return replace(
        layer_grid(layer, layers),
        array=np.asarray(finest(layer)) if held else finest(layer),
        class_names=class_names_of(layer),
    )


def lazy_file(layer: Layer, layers: Iterable[Layer] = ()) -> Path | None:
    """Return the file that a layer shows as it is: read lazily, of one channel, not moved.

    Raises
    ------
    ScanError
        If it is gone, or another one than was opened.
    """
    if not _is_as_opened(layer):
        return None
    _require_file(layer)
    noted = scan_metadata(layer)
    shown = layer_grid(layer, layers)
    if noted is None or not same_grid(shown, Volume(shown.array, noted["affine"])):
        return None
    return Path(str(noted["path"]))


def to_source_orientation(layer: Layer, layers: Iterable[Layer] = ()) -> Volume:
    """Return a layer's voxels on the axes of the file that it, or its scan, came from.

    Written to disk, it has that file's shape and affine, unless the user moved the layer.
    Parameters and errors are those of :func:`layer_to_volume`.
    """
    layers = list(layers)
    return _on_source_axes(layer_to_volume(layer, layers), source_of(layer, layers))


def class_names_of(layer: Layer) -> dict[int, str]:
    """Return a labels layer's names by class id, from its metadata or its features table."""
    noted = scan_metadata(layer)
    if noted is not None and noted.get("class_names"):
        return dict(noted["class_names"])
    features = getattr(layer, "features", None)
    if features is None or not {INDEX_COLUMN, CLASS_COLUMN} <= set(features.columns):
        return {}
    rows = zip(features[INDEX_COLUMN], features[CLASS_COLUMN], strict=True)
    return {int(index): name for index, name in rows if isinstance(name, str)}


def _is_lazy(layer: Layer) -> bool:
    return not isinstance(finest(layer), np.ndarray)


def _is_as_opened(layer: Layer) -> bool:
    """Say whether a layer's array is the one that reads its file, and no other made of it."""
    name = (scan_metadata(layer) or {}).get("unread")
    return name is not None and getattr(finest(layer), "name", None) == name


def _require_file(layer: Layer) -> None:
    """Refuse a layer whose file is gone, which zarr would read as zeros, or is another now."""
    noted = scan_metadata(layer)
    if not _is_lazy(layer) or noted is None or not noted.get("path"):
        return
    path = Path(str(noted["path"]))
    if not path.exists():
        raise ScanError(
            f"“{layer.name}” shows {path}, which is not there any more. Put it back, or "
            "remove the layer and open the scan from where it is now."
        )
    if not _is_as_opened(layer):
        return
    opened = Volume(np.broadcast_to(np.uint8(0), finest(layer).shape), noted["affine"])
    if not same_grid(opened, read_geometry(path).reoriented(DISPLAY_ORIENTATION)):
        raise ScanError(
            f"{path} was changed since “{layer.name}” was opened. Remove the layer, and open the "
            "scan again."
        )


def _on_source_axes(volume: Volume, source: ScanMetadata | None) -> Volume:
    """Return a layer's volume on the axes of its file, with the file's very affine if unmoved.

    Without a source the axes are those of RAS.
    """
    if source is None:
        return volume.reoriented("RAS")
    turned = volume.reoriented(source["source_orientation"])
    affine = np.asarray(source["source_affine"])
    close = np.allclose(turned.affine, affine, rtol=0, atol=SOURCE_TOLERANCE * np.abs(affine).max())
    if close and turned.shape == tuple(source["source_shape"]):
        return Volume(turned.array, affine, turned.name, turned.class_names)
    return turned
