"""The classes of a run: the user's own ids, and the network's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Classes:
    """The user's class ids, any whole numbers with gaps, and the network's 0, 1, 2 and so on.

    ``ids`` rises and starts with 0, the background.
    """

    ids: tuple[int, ...]
    names: Mapping[int, str] = field(default_factory=dict)

    def to_indices(self, ids: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Map class ids to indices; ids that training never saw become background."""
        known = np.asarray(self.ids)
        positions = np.searchsorted(known, ids).clip(0, len(known) - 1)
        return np.where(known[positions] == ids, positions, 0).astype(np.uint8)

    def to_ids(self, indices: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Map indices back to the user's class ids, in the smallest type that holds them."""
        return np.asarray(self.ids, dtype=np.min_scalar_type(self.ids[-1]))[indices]
