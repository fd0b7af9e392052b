"""What a blockwise prediction writes: labels, and the probabilities that were asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medcontext.core.blockwise.growing import GrowingFile
from napari_medcontext.core.blockwise.planes import Box
from napari_medcontext.core.classes import Classes
from napari_medcontext.core.volume import Volume

PROBABILITY_TYPE = np.dtype(np.float16)

Outputs = Iterator[npt.NDArray[np.float32]]
"""The probability of each output in turn, in a box of the scan's grid."""


class Results:
    """Images on a scan's grid that grow together along one axis.

    Parameters
    ----------
    grid
        The scan's.
    classes
        What the outputs are, and the ids of the labels.
    axis
        0, 1 or 2 for x, y, z of the upright grid: along which rows of boxes come.
    labels
        Where the labels are written.
    maps
        Where the probability of a class is written, by its id, as float16 from 0 to 1.
    """

    def __init__(
        self, grid: Volume, classes: Classes, axis: int, labels: Path, maps: Mapping[int, Path]
    ) -> None:
        self._classes = classes
        self._dtype = classes.to_ids(np.zeros(1, np.uint8)).dtype
        named = Volume(grid.array, grid.affine, grid.name, dict(classes.names))
        self._labels = GrowingFile(labels, named, self._dtype, axis)
        self._maps = {
            classes.output_by_id[class_id]: GrowingFile(path, grid, PROBABILITY_TYPE, axis)
            for class_id, path in maps.items()
        }

    def put(self, start: int, shape: Sequence[int], boxes: Iterable[tuple[Box, Outputs]]) -> None:
        """Write a row of planes of the upright grid, the next ones along the axis.

        Parameters
        ----------
        start
            The first of the planes.
        shape
            Of the row, along x, y and z.
        boxes
            Places in the row, which they fill, with what each output says there.
        """
        labels: npt.NDArray[Any] = np.empty(shape, self._dtype)
        maps = {output: np.empty(shape, PROBABILITY_TYPE) for output in self._maps}
        for place, outputs in boxes:
            decided = self._classes.decide(_kept(outputs, maps, place))
            labels[place] = self._classes.to_ids(decided)
        self._labels.put(start, labels)
        for output, file in self._maps.items():
            file.put(start, maps[output])


def _kept(outputs: Outputs, maps: Mapping[int, npt.NDArray[Any]], place: Box) -> Outputs:
    """Pass on what outputs say; note it where it is asked for."""
    for output, probability in enumerate(outputs):
        if output in maps:
            maps[output][place] = probability
        yield probability
