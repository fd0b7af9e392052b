"""A scan in OME-Zarr of which only a few chunks are in memory at a time, with RAS axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import nibabel
import numpy as np
import numpy.typing as npt

from napari_medcontext.core.blockwise.planes import Box, Planes, empty_grid, part_of
from napari_medcontext.core.channels import require_one_grid
from napari_medcontext.core.checks import checked_image
from napari_medcontext.core.config import Case
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.formats import scan_name
from napari_medcontext.core.formats.ome_zarr import ZarrImage, is_zarr, open_image
from napari_medcontext.core.volume import Array, Volume


@dataclass(frozen=True, eq=False)
class Channel:
    """One channel of an image that was opened.

    ``grid`` has the file's axes and ``upright`` RAS axes; both are volumes without voxels.
    """

    image: ZarrImage
    number: int
    grid: Volume

    @property
    def upright(self) -> Volume:
        """The grid with RAS axes."""
        return self.grid.reoriented("RAS")

    def read(self, box: Box) -> Array:
        """Return the voxels of a box of ``upright``."""
        turn = turning(self.grid)
        inside: list[slice] = []
        for side, (axis, direction) in zip(self.grid.shape, turn, strict=True):
            part = box[int(axis)]
            inside.append(part if direction > 0 else slice(side - part.stop, side - part.start))
        block = self.image.read(inside, self.number)
        return np.asarray(nibabel.orientations.apply_orientation(block, turn))

    def edges(self, axis: int) -> list[int]:
        """Return between which planes of ``upright`` chunks end along an axis, and both ends."""
        turn = turning(self.grid)
        own = int(np.flatnonzero(turn[:, 0] == axis)[0])
        side, chunk = self.grid.shape[own], self.image.chunks[own]
        edges = [*range(0, side, chunk), side]
        return edges if turn[own, 1] > 0 else [side - edge for edge in reversed(edges)]


class ChunkPlanes:
    """Boxes of a channel, read so that each chunk is unpacked once.

    Boxes must be asked for in the order in which they begin along ``axis``.
    """

    def __init__(self, channel: Channel, axis: int) -> None:
        self._channel, self._axis = channel, axis
        self._edges = channel.edges(axis)
        self._upright = channel.upright
        self._planes = Planes(axis)

    def box(self, box: Box) -> Volume:
        """Return a box of the upright grid, checked.

        Raises
        ------
        ScanError
            If a chunk is damaged, or a voxel is no finite number.
        """
        self._planes.drop(box[self._axis].start)
        while self._planes.stop < box[self._axis].stop:
            self._read_on(box[self._axis].start)
        affine, _ = part_of(self._upright, box)
        return checked_image(Volume(self._planes.box(box), affine, self._upright.name))

    def _read_on(self, first: int) -> None:
        """Read the next planes up to where chunks end, those left out that lie before ``first``."""
        start = max(self._planes.stop, max(edge for edge in self._edges if edge <= first))
        stop = next(edge for edge in self._edges if edge > start)
        x, y, z = (
            slice(start, stop) if axis == self._axis else slice(0, side)
            for axis, side in enumerate(self._upright.shape)
        )
        self._planes.add(start, self._channel.read((x, y, z)))


def turning(grid: Volume) -> npt.NDArray[np.float64]:
    """Return how a grid's axes become RAS, as nibabel puts it: a row for each, axis and sign."""
    directions = nibabel.orientations
    wanted = directions.axcodes2ornt(tuple("RAS"))
    turn: npt.NDArray[np.float64] = directions.ornt_transform(
        directions.io_orientation(grid.affine), wanted
    )
    return turn


def open_channels(case: Case, names: Sequence[str]) -> list[Channel]:
    """Open what a network is given of a scan, as ``read_channels`` reads it.

    Raises
    ------
    ScanError
        If a file is of another format, there are other channels than the network takes, or they
        lie on different grids.
    """
    files = (case.image, *case.further)
    for file in files:
        if not is_zarr(file):
            raise ScanError(
                f"{file} is no OME-Zarr, but another channel of its scan is. Convert all channels "
                "to one format."
            )
    images = [open_image(file) for file in files]
    channels = [
        Channel(image, number, empty_grid(image.affine, image.shape[:3], _name(image, number)))
        for image in images
        for number in range(image.channels)
    ]
    require_one_grid([channel.grid for channel in channels], names)
    return channels


def _name(image: ZarrImage, number: int) -> str:
    name = scan_name(image.path)
    return f"{name} [{number}]" if image.channels > 1 else name
