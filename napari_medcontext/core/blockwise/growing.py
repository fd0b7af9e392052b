"""Images that are written as they come, plane by plane, a row of whole chunks at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt

from napari_medcontext.core.blockwise.scan import turning
from napari_medcontext.core.formats.ome_zarr_writer import CHUNK, create
from napari_medcontext.core.volume import Volume


class GrowingFile:
    """An image on a scan's grid that grows along one axis.

    Parameters
    ----------
    path
        Where it is written.
    grid
        The scan's; with class names, if they are labels.
    dtype
        Of the voxels.
    axis
        0, 1 or 2 for x, y, z of the upright grid: along which planes come.
    """

    def __init__(self, path: Path, grid: Volume, dtype: np.dtype[Any], axis: int) -> None:
        turn = turning(grid)
        self._own = int(np.flatnonzero(turn[:, 0] == axis)[0])
        self._rising = bool(turn[self._own, 1] > 0)
        self._axis = axis
        directions = nibabel.orientations
        self._back = directions.ornt_transform(
            directions.axcodes2ornt(tuple("RAS")), directions.io_orientation(grid.affine)
        )
        self._shape, self._dtype = grid.shape, dtype
        self._array = create(path, grid, dtype)
        self._begun: dict[int, npt.NDArray[Any]] = {}
        self._missing: dict[int, int] = {}

    def put(self, start: int, planes: npt.NDArray[Any]) -> None:
        """Take planes of the upright grid, axes ``(x, y, z)``; write chunks that are complete."""
        turned = np.asarray(nibabel.orientations.apply_orientation(planes, self._back))
        count, side = turned.shape[self._own], self._shape[self._own]
        first = start if self._rising else side - start - count
        for chunk in range(first // CHUNK, (first + count - 1) // CHUNK + 1):
            low, high = max(first, chunk * CHUNK), min(first + count, (chunk + 1) * CHUNK)
            row = self._row(chunk)
            row[self._at(low - chunk * CHUNK, high - chunk * CHUNK)] = turned[
                self._at(low - first, high - first)
            ]
            self._missing[chunk] -= high - low
            if not self._missing[chunk]:
                where = self._at(chunk * CHUNK, min((chunk + 1) * CHUNK, side))
                self._array[where[::-1]] = np.ascontiguousarray(row.T)
                del self._begun[chunk], self._missing[chunk]

    def _row(self, chunk: int) -> npt.NDArray[Any]:
        """Return the row of chunks with a number along the file's axis, as far as it is filled."""
        if chunk not in self._begun:
            shape = list(self._shape)
            shape[self._own] = min(CHUNK, shape[self._own] - chunk * CHUNK)
            self._begun[chunk] = np.zeros(shape, self._dtype)
            self._missing[chunk] = shape[self._own]
        return self._begun[chunk]

    def _at(self, start: int, stop: int) -> tuple[slice, ...]:
        index = [slice(None)] * 3
        index[self._own] = slice(start, stop)
        return tuple(index)
