"""Write OME-Zarr: one image with its place in the patient, to be filled whole or in parts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lazy_loader
import numpy as np

from napari_medcontext.core.colours import class_colour
from napari_medcontext.core.formats.ngff import ORIENTATIONS, OWN_AFFINE, OWN_KEY, OWN_SHAPE
from napari_medcontext.core.formats.ome_zarr import zarr_library
from napari_medcontext.core.volume import Affine, Volume

nibabel = lazy_loader.load("nibabel")

VERSION = "0.5"
"""What is written."""
LEVEL = "0"
"""Path of the only array, axes z, y, x."""
CHUNK = 64
"""Sides of the chunks that are written, in voxels."""


def write(path: Path, volume: Volume) -> None:
    """Write a volume as NGFF 0.5, in chunks of ``CHUNK``; classes that have names are labels."""
    array = volume.array
    stored = array.astype(np.uint8) if array.dtype == bool else array
    target = create(path, volume, stored.dtype)
    target[...] = np.ascontiguousarray(stored.T)


def create(path: Path, grid: Volume, dtype: np.dtype[Any]) -> Any:
    """Create an image of zeros on a volume's grid, to be filled; a label image if that has names.

    Returns
    -------
    zarr.Array
        Axes ``(z, y, x)``: the grid's, the last first.
    """
    attributes = described(grid.name, grid.shape, grid.affine)
    if grid.class_names:
        attributes["ome"]["image-label"] = _image_label(grid.class_names)
    group = zarr_library().create_group(store=str(path), zarr_format=3, attributes=attributes)
    shape = grid.shape[::-1]
    return group.create_array(
        LEVEL,
        shape=shape,
        chunks=tuple(min(CHUNK, side) for side in shape),
        dtype=dtype,
        dimension_names=list("zyx"),
    )


def described(name: str, shape: tuple[int, ...], affine: Affine) -> dict[str, Any]:
    """Return the attributes of a group that holds one image of one level, in ``VERSION``.

    Parameters
    ----------
    name
        What it is called.
    shape
        Along x, y, z.
    affine
        From voxels to RAS+ millimetres; kept whole, and as well as scale, translation and
        orientation can say it. They put the centre of an oblique scan where it is.
    """
    letters, rows = _nearest(affine)
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    centre = (np.array(shape) - 1) / 2
    signs = np.array([1.0 if letter in "RAS" else -1.0 for letter in letters])
    offset = signs * (affine[:3, :3] @ centre + affine[:3, 3])[rows] - sizes * centre
    axes = [
        {
            "name": axis,
            "type": "space",
            "unit": "millimeter",
            "orientation": {"type": "anatomical", "value": ORIENTATIONS[letter]},
        }
        for axis, letter in zip("xyz", letters, strict=True)
    ]
    transforms = [
        {"type": "scale", "scale": sizes[::-1].tolist()},
        {"type": "translation", "translation": offset[::-1].tolist()},
    ]
    datasets = [{"path": LEVEL, "coordinateTransformations": transforms}]
    multiscale = {"name": name, "axes": axes[::-1], "datasets": datasets}
    return {
        "ome": {"version": VERSION, "multiscales": [multiscale]},
        OWN_KEY: {OWN_AFFINE: affine.tolist(), OWN_SHAPE: list(shape)},
    }


def _nearest(affine: Affine) -> tuple[str, list[int]]:
    """Return the anatomical direction nearest to each axis, and its place among R, A, S."""
    directions = nibabel.orientations.io_orientation(affine)
    letters = "".join(nibabel.orientations.ornt2axcodes(directions))
    return letters, [int(row) for row in directions[:, 0]]


def _image_label(names: Mapping[int, str]) -> dict[str, Any]:
    colours = [
        {"label-value": index, "rgba": [round(255 * float(part)) for part in class_colour(index)]}
        for index in names
    ]
    properties = [{"label-value": index, "name": name} for index, name in names.items()]
    return {"version": VERSION, "colors": colours, "properties": properties}
