"""Predict a scan from OME-Zarr to OME-Zarr in memory that does not grow with its length."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from napari_medcontext.core.blockwise.places import found_at, needed, places_of
from napari_medcontext.core.blockwise.planes import Box, Planes, tiles
from napari_medcontext.core.blockwise.prepare import PreparedScan, prepare
from napari_medcontext.core.blockwise.results import Outputs, Results
from napari_medcontext.core.blockwise.scan import Channel, turning
from napari_medcontext.core.io import atomic_path
from napari_medcontext.core.volume import Volume
from napari_medcontext.core.windows import as_part, rolling_axis, rolling_probabilities

if TYPE_CHECKING:
    from napari_medcontext.core.inference import Predictor

PREPARING = ".preparing-"
"""How the folder begins, beside the result, in which the prepared scan lies meanwhile."""
PREPARED_SHARE = 0.15
"""Part of the progress that is given to preparing the scan."""
THIN, WIDE = 16, 128
"""Sides of the blocks that are brought back onto the scan's grid at once."""
NO_MAPS: Mapping[int, Path] = MappingProxyType({})


def predict_blockwise(
    predictor: Predictor,
    channels: Sequence[Channel],
    path: Path,
    maps: Mapping[int, Path] = NO_MAPS,
) -> Generator[float, None, Path]:
    """Segment a scan into an OME-Zarr label image, whole or not at all.

    The labels are those of ``Predictor.predict``, but for voxels at which two classes are equally
    probable up to rounding.

    Memory in use, beside the networks and what they take for a window, is at most about ::

        4·A·((K + 1)·w + C·w) + 4·A·K·(16/f + 3)   sums, and planes kept for the next row
        + b·S·(c + 16·f + 2·r + 4)                 while preparing, of the scan
        + (l + 2·P)·T·(64 + 16)                    a row of chunks of what is written

    bytes. A is the area of a plane across the rolling axis on the network's grid, S and T that of
    the scan across the axis along which it is read and written; K outputs, C channels; windows are
    w wide along the axis; b and l bytes make a voxel of the scan and of the labels; its chunks are
    c thick, its voxels f times as many along the axis as the network's, and smoothing reaches over
    r of them; P classes' probabilities are written too.

    Parameters
    ----------
    predictor
        The networks.
    channels
        Those of the scan, as ``open_channels`` returns them.
    path
        The folder to write; while that goes on, twice: hidden, beside it, with the scan as
        prepared, 4 bytes a voxel of the network's grid and channel.
    maps
        Where the probability of a class is to be written too, by its id, as float16 from 0 to 1.

    Yields
    ------
    float
        Share that is done.

    Returns
    -------
    Path
        That of the labels. It appears last: where it is, all is.
    """
    from napari_medcontext.core.inference import OVERLAP

    data = predictor.config.data
    with ExitStack() as stack:
        # What is entered first appears last.
        target = stack.enter_context(atomic_path(path))
        targets = {k: stack.enter_context(atomic_path(each)) for k, each in maps.items()}
        scratch = stack.enter_context(
            tempfile.TemporaryDirectory(dir=path.parent, prefix=PREPARING)
        )
        work = prepare(channels, predictor.spacing, data, Path(scratch) / "scan.zarr")
        scan = yield from as_part(work, 0.0, PREPARED_SHARE)
        image = _Padded(scan, data.patch_size)
        grid = channels[0].grid
        back = _Back(image, grid, Results(grid, predictor.classes, image.axis, target, targets))
        yield from as_part(
            rolling_probabilities(
                predictor.networks,
                image.read,
                image.shape,
                data.patch_size,
                predictor.compute,
                overlap=OVERLAP,
                exclusive=not predictor.classes.regions,
                held=data.patch_size[image.axis],
                take=back.take,
            ),
            PREPARED_SHARE,
            1.0,
        )
    return path


class _Padded:
    """A prepared scan whose edges are continued where it is smaller than a window."""

    def __init__(self, scan: PreparedScan, window: tuple[int, int, int]) -> None:
        self.scan, self._window = scan, window
        sides = scan.grid.shape
        self.shape = tuple(max(side, least) for side, least in zip(sides, window, strict=True))
        self.axis = rolling_axis(self.shape, window)
        before = [(full - side) // 2 for full, side in zip(self.shape, sides, strict=True)]
        self.inner = tuple(slice(b, b + side) for b, side in zip(before, sides, strict=True))

    def read(self, start: int, stop: int) -> Tensor:
        """Return planes of the padded scan; one that was padded along their axis is read whole."""
        from napari_medcontext.core.padding import padded_to

        stop = min(stop, self.scan.grid.shape[self.axis])
        return padded_to(self.scan.planes(self.axis, start, stop), self._window)[0]


class _Back:
    """Takes probabilities on the network's grid, and hands on those of boxes of the scan's."""

    def __init__(self, image: _Padded, grid: Volume, results: Results) -> None:
        self._axis, self._inner, self._results = image.axis, image.inner, results
        self._prepared = image.scan.grid
        self._upright = grid.reoriented("RAS")
        turned = zip(places_of(grid, self._prepared), _runs(grid), strict=True)
        self._places = [along[::direction] for along, direction in turned]
        self._planes = Planes(self._axis)
        sides = [THIN if axis == self._axis else WIDE for axis in range(3)]
        self._rows = tiles(self._upright.shape, sides, self._axis)

    def take(self, start: int, done: Tensor) -> None:
        """Hand on all rows that need no further planes of probabilities."""
        inner = list(self._inner)
        along = inner[self._axis]
        # Either the axis is padded and all planes come at once, or it is not.
        inner[self._axis] = slice(0, done.shape[self._axis + 1]) if along.start == 0 else along
        self._planes.add(start, done.numpy()[(slice(None), *inner)])
        shape = self._prepared.shape
        while self._rows:
            row = self._rows[0]
            wanted = needed(row[0], self._places, shape)[self._axis]
            if wanted.stop > self._planes.stop:
                self._planes.drop(wanted.start, copied=True)
                return
            self._hand_on(row)
            del self._rows[0]
        self._planes.drop(shape[self._axis], copied=True)

    def _hand_on(self, row: Sequence[Box]) -> None:
        planes = row[0][self._axis]
        shape = list(self._upright.shape)
        shape[self._axis] = planes.stop - planes.start
        self._results.put(
            planes.start, shape, ((self._in_row(box), self._found(box)) for box in row)
        )

    def _in_row(self, box: Box) -> Box:
        x, y, z = (slice(None) if axis == self._axis else side for axis, side in enumerate(box))
        return x, y, z

    def _found(self, box: Box) -> Outputs:
        """Yield what each output says of a box."""
        part = needed(box, self._places, self._prepared.shape)
        for probability in self._planes.box(part):
            yield found_at(probability, part, self._places, box)


def _runs(grid: Volume) -> list[int]:
    """Return for x, y and z whether a grid's axis along it rises, 1, or falls, -1."""
    turn = turning(grid)
    return [int(turn[np.flatnonzero(turn[:, 0] == axis)[0], 1]) for axis in range(3)]
