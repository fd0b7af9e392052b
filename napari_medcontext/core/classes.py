"""The classes of a run: the user's own ids, and the network's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medcontext.core import regions as region_tables
from napari_medcontext.core.regions import Mask, Members

UNKNOWN = 255
"""Stands among class indices where it is not known which class a voxel is of."""


@dataclass(frozen=True)
class Classes:
    """The user's class ids, any whole numbers with gaps, and the network's 0, 1, 2 and so on.

    Parameters
    ----------
    ids
        Class ids in the labels, rising from 0, the background; its place there is a class's
        index.
    names
        What each foreground id of a prediction means.
    regions
        Where regions are learned in place of the classes: the class ids that each is made of,
        outermost first. A prediction then holds their numbers, from 1, as its ids.
    unknown_id
        The id in the labels that means “unknown”, if there is one.
    """

    ids: tuple[int, ...]
    names: Mapping[int, str] = field(default_factory=dict)
    regions: tuple[Members, ...] = ()
    unknown_id: int | None = None

    @property
    def outputs(self) -> int:
        """Number of channels of the network's output."""
        return len(self.regions) or len(self.ids)

    @property
    def predicted_ids(self) -> tuple[int, ...]:
        """Ids that a prediction can hold, the background left out."""
        return tuple(range(1, len(self.regions) + 1)) or self.ids[1:]

    @property
    def output_by_id(self) -> dict[int, int]:
        """Which channel of the network's output tells of each of them."""
        # Classes have the background before them; regions have none.
        first = 0 if self.regions else 1
        return {class_id: channel for channel, class_id in enumerate(self.predicted_ids, first)}

    @property
    def membership(self) -> Mask | None:
        """Which class belongs to which region, ``(regions, classes)``; none without regions."""
        return region_tables.membership(self.regions, self.ids) if self.regions else None

    def to_indices(self, ids: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Map class ids to indices.

        Ids that training never saw become background; the id that means so, ``UNKNOWN``.
        """
        known = np.asarray(self.ids)
        positions = np.searchsorted(known, ids).clip(0, len(known) - 1)
        indices = np.where(known[positions] == ids, positions, 0).astype(np.uint8)
        if self.unknown_id is not None:
            indices[ids == self.unknown_id] = UNKNOWN
        return indices

    def to_ids(self, decided: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Map what was decided to a prediction's ids, in the smallest type that holds them."""
        if self.regions:
            return decided
        return np.asarray(self.ids, dtype=np.min_scalar_type(self.ids[-1]))[decided]

    def reference_ids(self, indices: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Map class indices of labels to the ids of a prediction without a fault.

        What is unknown is background there.
        """
        indices = np.where(indices == UNKNOWN, 0, indices).astype(np.uint8)
        if not self.regions:
            return self.to_ids(indices)
        return region_tables.painted(self.masks(indices).values())

    def masks(self, indices: npt.NDArray[np.uint8]) -> dict[int, Mask]:
        """Return where labels hold each predicted id, from their class indices."""
        membership = self.membership
        if membership is None:
            return {k: indices == index for index, k in enumerate(self.ids) if k}
        return {
            number: np.isin(indices, np.flatnonzero(members))
            for number, members in enumerate(membership, start=1)
        }

    def predicted_masks(self, decided: npt.NDArray[np.uint8]) -> dict[int, Mask]:
        """Return where a prediction holds each id; a region includes those inside it."""
        if not self.regions:
            return self.masks(decided)
        table = {str(number): members for number, members in enumerate(self.regions, start=1)}
        masks = region_tables.masks_of_painted(decided, table)
        return {int(number): mask for number, mask in masks.items()}

    def decide(self, probabilities: Iterable[npt.NDArray[Any]]) -> npt.NDArray[np.uint8]:
        """Return what a voxel is, from one map of probability for each of the outputs.

        The index of the most probable class; or with regions the number of the innermost one
        that is more probable than not, inner ones being cut to those that hold them.
        """
        if self.regions:
            return region_tables.decided(probabilities, self.regions)
        return largest(probabilities)


def largest(maps: Iterable[npt.NDArray[Any]]) -> npt.NDArray[np.uint8]:
    """Return the index of the map that is largest at each voxel, the first of equal ones."""
    maps = iter(maps)
    highest = np.array(next(maps), dtype=np.float32)
    best = np.zeros(highest.shape, dtype=np.uint8)
    for index, candidate in enumerate(maps, start=1):
        best[candidate > highest] = index
        np.maximum(highest, candidate, out=highest)
    return best
