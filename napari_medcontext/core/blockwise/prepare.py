"""A scan on the network's grid, written to the disk block by block and read plane by plane."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_medcontext.core.blockwise.places import found_at, needed, places_of
from napari_medcontext.core.blockwise.planes import Box, empty_grid, tiles
from napari_medcontext.core.blockwise.scan import Channel, ChunkPlanes
from napari_medcontext.core.formats.ome_zarr import zarr_library
from napari_medcontext.core.intensities import FloatArray, Scaling, gathered_scaling, windowed
from napari_medcontext.core.training_settings import DataSettings
from napari_medcontext.core.transforms import smoothed, smoothing_reach
from napari_medcontext.core.volume import Spacing, Volume, resampled_grid
from napari_medcontext.core.windows import as_part

THIN, WIDE = 16, 64
"""Sides of the blocks that are prepared at once, along the axis along which the scan is read and
across it, in voxels of the network's grid."""


@dataclass(frozen=True, eq=False)
class PreparedScan:
    """A scan on the network's grid, in a file, and how its intensities are to be scaled.

    ``values`` has the shape ``(C, x, y, z)``, float32, as resampled; ``scalings`` has an entry for
    each channel, None where the settings' window says all.
    """

    grid: Volume
    values: Any
    scalings: Sequence[Scaling | None]
    window: tuple[float, float]

    def planes(self, axis: int, start: int, stop: int) -> Tensor:
        """Return planes along an axis, scaled, shape ``(C, x, y, z)``."""
        index = [slice(None)] * 4
        index[axis + 1] = slice(start, stop)
        read = np.asarray(self.values[tuple(index)])
        for number, scaling in enumerate(self.scalings):
            read[number] = (
                windowed(read[number], self.window)
                if scaling is None
                else scaling.apply(read[number])
            )
        return torch.from_numpy(read)


def prepare(
    channels: Sequence[Channel], spacing: Spacing, settings: DataSettings, scratch: Path
) -> Generator[float, None, PreparedScan]:
    """Bring a scan onto the network's grid, as ``prepare_channels`` does, and keep it in a file.

    In memory is, of one channel at a time, a row of the scan's chunks, and as many of its planes
    as ``THIN`` planes of the network's grid are made of. The row lies across the axis for which
    that is least.

    Parameters
    ----------
    channels
        All on one grid.
    spacing, settings
        The network's.
    scratch
        Where the file goes: 4 bytes a voxel of the network's grid and channel.

    Yields
    ------
    float
        Share that is done.
    """
    upright = channels[0].upright
    affine, shape = resampled_grid(upright, spacing)
    grid = empty_grid(affine, shape, upright.name)
    axis = min(range(3), key=partial(_row_size, channels[0], grid))
    sides = [THIN if at == axis else WIDE for at in range(3)]
    values = zarr_library().create_array(
        store=str(scratch),
        shape=(len(channels), *shape),
        chunks=(1, *(min(side, length) for side, length in zip(sides, shape, strict=True))),
        dtype=np.float32,
        compressors=None,
    )
    rows = tiles(shape, sides, axis)
    places, reach = places_of(grid, upright), smoothing_reach(upright, spacing)
    for number, channel in enumerate(channels):
        planes = ChunkPlanes(channel, axis)
        for done, row in enumerate(rows):
            yield (number + done / len(rows)) / len(channels)
            for box in row:
                part = needed(box, places, upright.shape, reach)
                smooth = smoothed(planes.box(part), spacing)
                values[(number, *box)] = found_at(smooth, part, places, box)
    scalings = []
    for number in range(len(channels)):
        gathering = gathered_scaling(partial(_blocks, values, number, rows), settings)
        scalings.append((yield from as_part(gathering, 1.0, 1.0)))
    return PreparedScan(grid, values, scalings, settings.window)


def _row_size(channel: Channel, grid: Volume, axis: int) -> float:
    """Return how many of a scan's voxels are in memory if it is read along an axis."""
    upright = channel.upright
    chunk = max(np.diff(channel.edges(axis)))
    thick = THIN * upright.shape[axis] / grid.shape[axis]
    return float(np.prod(upright.shape) / upright.shape[axis] * (chunk + thick))


def _blocks(values: Any, number: int, rows: Sequence[Sequence[Box]]) -> Iterator[FloatArray]:
    for row in rows:
        for box in row:
            yield np.asarray(values[(number, *box)])
