"""What counts as labels: whole, non-negative class ids, 0 being the background."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.io import smallest_label_dtype

LabelArray = npt.NDArray[np.unsignedinteger[Any]]
Box = tuple[slice, ...]

LARGEST_CLASS_ID = 2**32 - 1
WHOLE_TOLERANCE = 1e-4
"""How far from a whole number a class id may lie: headers that scale labels round them."""

_MOST_COMPACT_IDS = 2**16
_REMEDY = (
    "Choose labels rather than an intensity image, or export them again as whole numbers "
    "from 0 up (resample labels with nearest neighbour)."
)


def as_label_array(array: npt.NDArray[Any], name: str) -> LabelArray:
    """Return class ids in the smallest unsigned integer type that holds them.

    Parameters
    ----------
    array
        Class ids of any numeric type, any shape; floating-point whole numbers are taken.
    name
        What the user calls these labels; stands in the message.

    Raises
    ------
    ScanError
        If a voxel is no whole number, not finite, negative or above ``LARGEST_CLASS_ID``;
        says how many are, and gives one of them.
    """
    if array.dtype.kind not in "biuf":
        raise ScanError(f"“{name}” holds {array.dtype} values, not class ids. {_REMEDY}")
    if array.size == 0 or array.dtype == np.uint8:
        return array.astype(np.uint8, copy=False)
    lowest, highest = array.min(), array.max()
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise _refusal(array, ~np.isfinite(array), name, "not a finite number")
    if lowest < -WHOLE_TOLERANCE:
        raise _refusal(array, array < -WHOLE_TOLERANCE, name, "negative")
    if highest > LARGEST_CLASS_ID:
        raise _refusal(array, array > LARGEST_CLASS_ID, name, "too large for a class id")
    dtype = smallest_label_dtype(round(float(highest)))
    labels = array.astype(dtype, copy=False)
    if array.dtype.kind == "f" and not np.array_equal(labels, array):
        labels = _rounded(array, name).astype(dtype)
    return labels


def class_boxes(labels: LabelArray) -> dict[int, Box]:
    """Return each class id that occurs, with the box that bounds its voxels.

    Background, 0, is left out.
    """
    if labels.max(initial=0) < _MOST_COMPACT_IDS:
        return {index: box for index, box in enumerate(_boxes(labels), start=1) if box}
    ids, compact = np.unique(labels, return_inverse=True)
    boxes = _boxes(compact.reshape(labels.shape) + 1)
    return {int(index): box for index, box in zip(ids, boxes, strict=True) if box and index}


def bounding_box(mask: npt.NDArray[np.bool_]) -> Box:
    """Return the box that bounds what is true; all of the array where nothing is.

    Each axis is looked at in what the ones before it left, in the order in which the voxels lie
    in memory: on a large scan many times as fast as ``scipy.ndimage.find_objects``.
    """
    order = _memory_order(mask)
    sides = {}
    left = mask.transpose(order)
    for axis in order:
        rows = np.flatnonzero(left.reshape(len(left), -1).any(axis=1))
        if not len(rows):
            return tuple(slice(0, side) for side in mask.shape)
        sides[axis] = slice(int(rows[0]), int(rows[-1]) + 1)
        left = np.asarray(left[sides[axis]].any(axis=0))
    return tuple(sides[axis] for axis in range(mask.ndim))


def _memory_order(array: npt.NDArray[Any]) -> list[int]:
    return [int(axis) for axis in np.argsort([-abs(step) for step in array.strides], kind="stable")]


def _boxes(labels: npt.NDArray[Any]) -> list[Box | None]:
    """Bound every id, reading the voxels in the order in which they lie in memory."""
    order = _memory_order(labels)
    back = np.argsort(order)
    boxes = scipy.ndimage.find_objects(labels.transpose(order))
    return [box and tuple(box[axis] for axis in back) for box in boxes]


def _rounded(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    rounded: npt.NDArray[Any] = np.rint(array)
    apart = np.subtract(array, rounded)
    wrong = np.abs(apart, out=apart) > WHOLE_TOLERANCE
    if wrong.any():
        raise _refusal(array, wrong, name, "not a whole number")
    return rounded


def _refusal(
    array: npt.NDArray[Any], wrong: npt.NDArray[np.bool_], name: str, what: str
) -> ScanError:
    count = int(np.count_nonzero(wrong))
    example = array.flat[int(wrong.argmax())]
    voxels = f"{count:,} voxel is" if count == 1 else f"{count:,} voxels are"
    return ScanError(
        f"“{name}” cannot be labels: {voxels} {what} (for example {example:.6g}). {_REMEDY}"
    )
