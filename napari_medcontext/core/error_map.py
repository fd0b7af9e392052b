"""Where a prediction is right and wrong: voxel by voxel, slice by slice, and error by error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cc3d
import numpy as np
import numpy.typing as npt

from napari_medcontext.core.labels import Box
from napari_medcontext.core.metrics import Mask, Spacing

RIGHT, INVENTED, MISSED, OTHER_CLASS = 1, 2, 3, 4
"""What an error map holds where it is not 0: true positive, false positive, false negative, and,
where all classes are looked at together, a class in the place of another."""

BY_FACES: Final = 6
"""How many neighbours of a voxel touch it: those that share a face."""


@dataclass(frozen=True)
class ErrorRegion:
    """Voxels of one kind of error that touch each other by their faces.

    Parameters
    ----------
    kind
        ``INVENTED`` or ``MISSED``.
    box
        Its bounding box, in voxels along the array's axes.
    volume_ml
        Its volume in millilitres.
    """

    kind: int
    box: Box
    volume_ml: float


def error_map(prediction: Mask, reference: Mask) -> npt.NDArray[np.uint8]:
    """Return ``RIGHT``, ``INVENTED``, ``MISSED`` or 0 for each voxel ``(i, j, k)`` of a class."""
    errors = prediction * np.uint8(INVENTED)
    errors[reference] = MISSED
    errors[prediction & reference] = RIGHT
    return errors


def error_map_of_all(
    prediction: npt.NDArray[np.integer], reference: npt.NDArray[np.integer]
) -> npt.NDArray[np.uint8]:
    """Return the same for all classes at once, shape ``(i, j, k)``, from their ids.

    A class in the place of another is ``OTHER_CLASS``.
    """
    errors = error_map(prediction != 0, reference != 0)
    errors[(errors == RIGHT) & (prediction != reference)] = OTHER_CLASS
    return errors


def dice_by_slice(prediction: Mask, reference: Mask, axis: int) -> npt.NDArray[np.float64]:
    """Return the Dice of each slice across an axis; ``nan`` where neither mask is in it."""
    others = tuple(index for index in range(3) if index != axis)
    both = np.count_nonzero(prediction & reference, axis=others)
    total = np.count_nonzero(prediction, axis=others) + np.count_nonzero(reference, axis=others)
    with np.errstate(invalid="ignore"):
        return np.asarray(2.0 * both / np.where(total, total, np.nan), np.float64)


def worst_slice(prediction: Mask, reference: Mask, axis: int) -> int:
    """Return the slice across an axis with most voxels in error; the fullest if there is none.

    Not that of the lowest Dice, which is as a rule the organ's outermost and holds a few voxels.
    """
    others = tuple(index for index in range(3) if index != axis)
    wrong = np.count_nonzero(prediction ^ reference, axis=others)
    return int(np.argmax(wrong if wrong.any() else np.count_nonzero(reference, axis=others)))


def largest_errors(
    errors: npt.NDArray[np.uint8], spacing: Spacing, count: int
) -> list[ErrorRegion]:
    """Return the largest connected errors of an error map of one class, largest first."""
    voxel_ml = float(np.prod(spacing)) / 1000.0
    wrong = errors * ((errors == INVENTED) | (errors == MISSED))
    # Components of the two kinds are told apart in one go.
    parts = cc3d.connected_components(wrong, connectivity=BY_FACES)
    about = cc3d.statistics(parts)
    sizes, boxes = about["voxel_counts"][1:].astype(np.int64), about["bounding_boxes"]
    found = []
    for part in 1 + np.argsort(-sizes, kind="stable")[:count]:
        box = boxes[part]
        kind = int(wrong[box][parts[box] == part][0])
        found.append(ErrorRegion(kind, box, float(sizes[part - 1] * voxel_ml)))
    return found
