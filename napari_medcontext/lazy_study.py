"""Scans of a study that is too large to be held: each is read when it is looked at or used."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import dask
import dask.array
import numpy as np
import numpy.typing as npt

from napari_medcontext.core.channels import split_channels
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.formats import format_of, is_scan_folder, scan_name
from napari_medcontext.core.io import read_volume
from napari_medcontext.core.volume import Affine, Volume, same_grid
from napari_medcontext.layer_data import LayerData, contrast_limits, placed_layer
from napari_medcontext.layer_geometry import DISPLAY_ORIENTATION
from napari_medcontext.scan_metadata import METADATA_KEY
from napari_medcontext.study import StudyFile

HELD_BYTES = 2 * 2**30
"""Scans of a study that take more are not held together."""
VOXEL_TYPE = np.dtype(np.float32)
CHANNEL = re.compile(r"_\d{4}$")
"""How the names of files of one channel end, as nnU-Net numbers them."""

Limits = tuple[float, float]


def is_too_large(files: Iterable[StudyFile]) -> bool:
    """Say whether the scans among these files take more memory than ``HELD_BYTES``.

    Raises
    ------
    ScanError
        If a file has no header that can be read.
    """
    voxels = sum(int(np.prod(channel.shape)) for file in files for channel in _channels(file))
    return voxels * VOXEL_TYPE.itemsize > HELD_BYTES


def lazy_layers(
    files: Iterable[StudyFile], held: Callable[[StudyFile], Iterator[LayerData]]
) -> Iterator[LayerData]:
    """Open a study whose scans are read when they are looked at; only the first is switched on.

    The first scan is read to find its contrast, in which the others are shown too; of several
    channels, the first of each.

    Parameters
    ----------
    files
        Those of the study.
    held
        Opens a file that is read at once: labels, since they may be painted on.
    """
    scans = _LazyScans()
    number = 0
    for file in files:
        number += file.kind == "image"
        for data, attributes, kind in scans.layers(file) if _is_lazy(file) else held(file):
            # What is seen is read.
            seen = {} if number <= 1 else {"visible": False}
            yield data, attributes | seen, kind


class _LazyScans:
    """Opens scans, and remembers the contrast of each channel."""

    def __init__(self) -> None:
        self._limits: dict[tuple[int, str], Limits] = {}

    def layers(self, file: StudyFile) -> Iterator[LayerData]:
        """Return a scan's layers, one a channel."""
        channels = _channels(file)
        for number, grid in enumerate(channels):
            shown, attributes = placed_layer(grid, str(file.path))
            voxels = dask.delayed(_voxels)(file.path, number, grid.shape, grid.affine)
            data = dask.array.from_delayed(voxels, shown.shape, VOXEL_TYPE)
            if len(channels) == 1:
                attributes["metadata"][METADATA_KEY]["unread"] = data.name
            channel = number, "".join(CHANNEL.findall(grid.name))
            if channel not in self._limits:
                self._limits[channel] = contrast_limits(np.asarray(data))
            yield data, attributes | {"contrast_limits": self._limits[channel]}, "image"


def _is_lazy(file: StudyFile) -> bool:
    """Say whether a file of a study that is too large is left unread: a scan in one file."""
    # What is not there is told by who reads it.
    return file.kind == "image" and file.path.exists() and not is_scan_folder(file.path)


def _channels(file: StudyFile) -> list[Volume]:
    """Return the grids of a scan's channels; none of what is not left unread."""
    if not _is_lazy(file):
        return []
    shape, affine = format_of(file.path).read_grid(file.path)
    zeros = np.broadcast_to(VOXEL_TYPE.type(0), shape)
    return split_channels(Volume(zeros, affine, scan_name(file.path)), file.path)


def _voxels(
    path: Path, channel: int, shape: tuple[int, ...], affine: Affine
) -> npt.NDArray[np.float32]:
    """Read a channel; refuse a file that lies elsewhere than it did when it was opened."""
    channels = split_channels(read_volume(path, dimensions=None), path)
    opened = Volume(np.broadcast_to(np.uint8(0), shape), affine)
    if channel >= len(channels) or not same_grid(channels[channel], opened):
        raise ScanError(
            f"{path} was changed since it was opened. Remove its layer, and open the scan again."
        )
    return channels[channel].reoriented(DISPLAY_ORIENTATION).array.astype(VOXEL_TYPE)
