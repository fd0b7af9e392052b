"""Planes of a volume that are in memory for a while, and boxes cut from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medcontext.core.volume import Affine, Volume

Box = tuple[slice, slice, slice]


class Planes:
    """Planes along one axis, held as the blocks in which they came.

    Parameters
    ----------
    axis
        0, 1 or 2 for x, y, z: the last three axes of the blocks.
    """

    def __init__(self, axis: int) -> None:
        self._axis = axis
        self._blocks: list[tuple[int, npt.NDArray[Any]]] = []

    @property
    def stop(self) -> int:
        """Behind the last plane that came."""
        if not self._blocks:
            return 0
        start, block = self._blocks[-1]
        return start + int(block.shape[self._axis - 3])

    def add(self, start: int, block: npt.NDArray[Any]) -> None:
        """Take planes that follow those that are there."""
        self._blocks.append((start, block))

    def drop(self, before: int, *, copied: bool = False) -> None:
        """Let go of blocks that lie wholly before a plane.

        With ``copied``, of all planes before it, and the others are held apart from the arrays
        that they came in, which may then be used for something else.
        """
        kept = []
        for start, block in self._blocks:
            stop = start + block.shape[self._axis - 3]
            if stop <= before:
                continue
            if copied:
                first = max(start, before)
                start, block = first, self._cut(start, block, slice(first, stop)).copy()
            kept.append((start, block))
        self._blocks = kept

    def box(self, box: Box) -> npt.NDArray[Any]:
        """Return the voxels of a box, its other axes in front; all its planes must be there."""
        others: list[Any] = [..., *box]
        others[self._axis + 1] = slice(None)
        parts = [
            self._cut(start, block, box[self._axis])[tuple(others)]
            for start, block in self._blocks
            if start < box[self._axis].stop
            and start + block.shape[self._axis - 3] > box[self._axis].start
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=self._axis - 3)

    def _cut(self, start: int, block: npt.NDArray[Any], planes: slice) -> npt.NDArray[Any]:
        index: list[Any] = [..., slice(None), slice(None), slice(None)]
        stop = planes.stop - start
        index[self._axis + 1] = slice(max(0, planes.start - start), stop)
        return np.asarray(block[tuple(index)])


def tiles(shape: Sequence[int], sides: Sequence[int], rows: int) -> list[list[Box]]:
    """Return boxes that cover a shape, those of one row of planes along an axis together.

    Parameters
    ----------
    shape
        What is covered.
    sides
        Of a box; at the ends they are cut.
    rows
        The axis along which rows follow each other.
    """
    parts = [
        [slice(start, min(start + side, length)) for start in range(0, length, side)]
        for length, side in zip(shape, sides, strict=True)
    ]
    found: list[list[Box]] = []
    for part in parts[rows]:
        across = [[part] if axis == rows else parts[axis] for axis in range(3)]
        found.append([(x, y, z) for x in across[0] for y in across[1] for z in across[2]])
    return found


def part_of(grid: Volume, box: Box) -> tuple[Affine, tuple[int, int, int]]:
    """Return the affine and shape of a box of a grid."""
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [part.start for part in box]
    x, y, z = (part.stop - part.start for part in box)
    return affine, (x, y, z)


def empty_grid(affine: Affine, shape: tuple[int, ...], name: str = "grid") -> Volume:
    """Return a volume of zeros that takes no memory."""
    return Volume(np.broadcast_to(np.uint8(0), shape), affine, name)
