"""OME-Zarr as napari layers that read what is looked at, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array
import nibabel
import numpy as np

from napari_medcontext.core.formats import scan_name
from napari_medcontext.core.formats.ome_zarr import ZarrImage, label_images, open_image
from napari_medcontext.core.volume import Volume
from napari_medcontext.layer_data import LayerData, class_attributes, contrast_limits, placed_layer
from napari_medcontext.layer_geometry import DISPLAY_ORIENTATION
from napari_medcontext.pairing import LABEL_WORDS, labels_name, name_words
from napari_medcontext.scan_metadata import METADATA_KEY
from napari_medcontext.study import StudyFile

LARGEST_SAMPLE = 4_000_000
"""Up to so many voxels of the coarsest level tell the contrast; else its middle plane does."""


def zarr_layers(file: StudyFile) -> Iterator[LayerData]:
    """Open an image as lazy layers, one a channel, and those of the labels that it brings along.

    It is taken for labels if it says so, or if it is named so and holds whole numbers.

    Raises
    ------
    ScanError
        If it is no image of a volume.
    """
    image = open_image(file.path)
    if file.kind == "labels" or (file.kind is None and _is_labels(image)):
        names = image.class_names or file.class_names
        yield _layer(replace(image, class_names=names), 0, labels_name(scan_name(file.path)))
        return
    for number in range(image.channels):
        told = f" [{number}]" * (image.channels > 1)
        yield _layer(image, number, f"{scan_name(file.path)}{told}", is_image=True)
    for path in label_images(file.path):
        name = labels_name(f"{scan_name(file.path)} {path.name}")
        yield _layer(open_image(path), 0, name)


def probability_layer(path: Path) -> LayerData:
    """Open the probability of a class as a lazy layer, without looking into it for its contrast.

    Raises
    ------
    ScanError
        If it is no image of a volume.
    """
    data, attributes = _placed(open_image(path), 0, scan_name(path))
    return data, attributes, "image"


def _is_labels(image: ZarrImage) -> bool:
    words = {*name_words(image.path.name), *name_words(image.path.parent.name)}
    return image.is_labels or (bool(LABEL_WORDS & words) and image.dtype.kind in "bui")


def _layer(image: ZarrImage, channel: int, name: str, *, is_image: bool = False) -> LayerData:
    data, attributes = _placed(image, channel, name)
    if is_image:
        coarsest = data[-1] if attributes.get("multiscale") else data
        return data, attributes | {"contrast_limits": contrast_limits(_sample(coarsest))}, "image"
    # Which ids above 255 there are is not known without reading it all.
    return data, attributes | class_attributes(np.zeros(1, np.uint8), image.class_names), "labels"


def _placed(image: ZarrImage, channel: int, name: str) -> tuple[Any, dict[str, Any]]:
    """Return a channel's levels, or its only one, lazily, and what puts them in their place."""
    zeros = np.broadcast_to(np.uint8(0), image.shape[:3])
    grid = Volume(zeros, image.affine, name, dict(image.class_names))
    levels = [_shown(level, image, channel, grid) for level in image.levels]
    attributes = placed_layer(grid, str(image.path))[1]
    if len(levels) > 1:
        attributes["multiscale"] = True
    if image.channels == 1:
        attributes["metadata"][METADATA_KEY]["unread"] = levels[0].name
    return levels if len(levels) > 1 else levels[0], attributes


def _shown(level: Any, image: ZarrImage, channel: int, grid: Volume) -> dask.array.Array:
    """Return a level with the axes of the display, lazily."""
    index: list[Any] = [0] * len(level.shape)
    for axis in image.axes.space:
        index[axis] = slice(None)
    if image.axes.channel is not None:
        index[image.axes.channel] = channel
    whole = dask.array.from_zarr(level)[tuple(index)]
    array = whole.transpose(image.axes.order)
    directions = nibabel.orientations
    turn = directions.ornt_transform(
        directions.io_orientation(grid.affine),
        directions.axcodes2ornt(tuple(DISPLAY_ORIENTATION)),
    )
    flipped = array[tuple(slice(None, None, int(sign)) for sign in turn[:, 1])]
    return flipped.transpose([int(axis) for axis in np.argsort(turn[:, 0])])


def _sample(coarsest: dask.array.Array) -> np.ndarray[Any, Any]:
    """Return some voxels of the coarsest level, few enough to wait for."""
    if coarsest.size > LARGEST_SAMPLE:
        coarsest = coarsest[len(coarsest) // 2]
    return np.asarray(coarsest)
