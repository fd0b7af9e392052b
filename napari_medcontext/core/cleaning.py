"""Tidy predicted labels: the largest piece of each class, no small pieces, no holes."""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np
import scipy

from napari_medcontext.core.labels import LabelArray, as_label_array, class_boxes
from napari_medcontext.core.settings import Settings, setting
from napari_medcontext.core.volume import Volume

ROUNDING = 1e-6
"""By what share a piece may fall short of the least volume: voxels' volumes are rounded."""


class Cleaning(Settings):
    """What is tidied; nothing unless asked for, since true anatomy may come in pieces too."""

    least_ml: float = setting(
        0.0, "Remove pieces of a class that are smaller than this.", unit="ml", ge=0
    )
    largest: bool = setting(False, "Keep the largest piece of each class alone.")
    fill_holes: bool = setting(False, "Fill background that one class encloses all round.")

    @property
    def is_any(self) -> bool:
        """Whether anything is asked for."""
        return bool(self.largest or self.fill_holes or self.least_ml)

    @property
    def text(self) -> str:
        """What is asked for, in words; empty if nothing is."""
        parts = [f"pieces from {self.least_ml:g} ml on"] * bool(self.least_ml)
        parts += ["largest pieces"] * self.largest + ["holes filled"] * self.fill_holes
        return ", ".join(parts)


@dataclass(frozen=True, eq=False)
class Cleaned:
    """Tidied labels, how many pieces were removed, and the volumes that changed, in ml."""

    labels: Volume
    removed: int
    removed_ml: float
    filled_ml: float

    @property
    def text(self) -> str:
        """What was done, in words."""
        pieces = f"{self.removed} piece{'s' * (self.removed != 1)}"
        return f"Removed {pieces} ({self.removed_ml:.2f} ml), filled {self.filled_ml:.2f} ml."


def cleaned(labels: Volume, cleaning: Cleaning) -> Cleaned:
    """Tidy labels: small pieces go first, then all but the largest, then holes are filled.

    Parameters
    ----------
    labels
        Class ids; classes exclude each other. Voxels of a piece touch by faces, edges or corners.
    cleaning
        What to do.

    Returns
    -------
    Cleaned
        On the same grid, with the same class names.

    Raises
    ------
    ScanError
        If the volume holds no class ids.
    """
    before = as_label_array(labels.array, labels.name)
    kept, removed = _without_pieces(before, cleaning, labels.voxel_volume_ml)
    after = _without_holes(kept) if cleaning.fill_holes else kept
    voxel_ml = labels.voxel_volume_ml
    return Cleaned(
        labels.with_array(after),
        removed,
        int(np.count_nonzero(before != kept)) * voxel_ml,
        int(np.count_nonzero(after != kept)) * voxel_ml,
    )


def _without_pieces(
    labels: LabelArray, cleaning: Cleaning, voxel_ml: float
) -> tuple[LabelArray, int]:
    if not (cleaning.least_ml or cleaning.largest):
        return labels, 0
    pieces = cc3d.connected_components(labels, connectivity=26)
    sizes = np.bincount(pieces.ravel(order="K"))
    classes = np.zeros(len(sizes), labels.dtype)
    classes[pieces] = labels
    keep = sizes * voxel_ml >= cleaning.least_ml * (1 - ROUNDING)
    if cleaning.largest:
        # By class, the largest first: of each class only the first stays.
        order = np.lexsort((-sizes, classes))
        _, first = np.unique(classes[order], return_index=True)
        is_largest = np.zeros(len(sizes), bool)
        is_largest[order[first]] = True
        keep &= is_largest
    keep[0] = True
    kept: LabelArray = labels * keep[pieces]
    return kept, int(np.count_nonzero(~keep))


def _without_holes(labels: LabelArray) -> LabelArray:
    filled = labels.copy(order="K")
    for class_id, box in class_boxes(labels).items():
        here = filled[box]
        holes = scipy.ndimage.binary_fill_holes(here == class_id) & (here == 0)
        here[holes] = class_id
    return filled
