"""Nested regions, each a union of classes: what a network with sigmoid outputs tells apart.

A table of regions maps a name to the class ids that the region is made of, outermost first:
``{"WT": (1, 2, 4), "TC": (1, 4), "ET": (4,)}``. Two regions are nested or have nothing in
common, so that they can be painted, outermost first, into one label map in which region 1, 2
and so on has its number in the table as its id; nothing is lost by that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Members = Sequence[int]
"""The class ids that one region is made of."""

THRESHOLD = 0.5
"""Probability above which a voxel belongs to a region."""
MOST_REGIONS = 254


def checked_regions(regions: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Return a table of regions if it can be painted into one label map.

    Raises
    ------
    ValueError
        If a region is empty, two are the same or overlap without one holding the other, or an
        inner one comes before the one that holds it.
    """
    if len(regions) > MOST_REGIONS:
        raise ValueError(f"{len(regions)} regions are too many; at most {MOST_REGIONS} fit")
    earlier: dict[str, set[int]] = {}
    for name, members in regions.items():
        if not name.strip() or not members:
            raise ValueError(f"region “{name}” needs a name and at least one class id")
        for other, held in earlier.items():
            _check_pair(other, held, name, set(members))
        earlier[name] = set(members)
    return regions


def _check_pair(outer_name: str, outer: set[int], name: str, members: set[int]) -> None:
    if members < outer or not members & outer:
        return
    if members == outer:
        raise ValueError(f"regions “{outer_name}” and “{name}” are made of the same classes")
    if outer < members:
        raise ValueError(f"region “{name}” holds “{outer_name}” and must come before it")
    raise ValueError(
        f"regions “{outer_name}” and “{name}” overlap, but neither holds the other; regions must "
        "be nested or apart"
    )


def membership(regions: Sequence[Members], ids: Sequence[int]) -> Mask:
    """Return which class belongs to which region, shape ``(regions, classes)``."""
    return np.array([[class_id in members for class_id in ids] for members in regions], dtype=bool)


def nested(masks: Iterable[Mask], regions: Sequence[Members]) -> list[Mask]:
    """Cut every region to the one that holds it, so that inner regions lie inside.

    Parameters
    ----------
    masks
        One for each region, in the table's order.
    regions
        What each is made of, outermost first.
    """
    cut: list[Mask] = []
    for index, mask in enumerate(masks):
        outer = _parent(index, regions)
        cut.append(mask if outer is None else mask & cut[outer])
    return cut


def painted(masks: Iterable[Mask]) -> npt.NDArray[np.uint8]:
    """Paint regions, outermost first, into one map: 1 for the first region, and so on."""
    canvas: npt.NDArray[np.uint8] | None = None
    for number, mask in enumerate(masks, start=1):
        if canvas is None:
            canvas = np.zeros(mask.shape, dtype=np.uint8)
        canvas[mask] = number
    if canvas is None:
        raise ValueError("there is no region to paint")
    return canvas


def decided(
    probabilities: Iterable[npt.NDArray[np.floating[Any]]], regions: Sequence[Members]
) -> npt.NDArray[np.uint8]:
    """Return the painted map of what is probable, made to nest."""
    return painted(nested((map_ > THRESHOLD for map_ in probabilities), regions))


def masks_of_labels(labels: npt.NDArray[Any], regions: Mapping[str, Members]) -> dict[str, Mask]:
    """Return each region's voxels in a label map of original class ids, a reference."""
    return {name: np.isin(labels, list(members)) for name, members in regions.items()}


def masks_of_painted(numbers: npt.NDArray[Any], regions: Mapping[str, Members]) -> dict[str, Mask]:
    """Return each region's voxels in a painted map, a prediction: its own and all inner ones'."""
    return {name: np.isin(numbers, inside) for name, inside in painted_numbers(regions).items()}


def painted_numbers(regions: Mapping[str, Members]) -> dict[str, list[int]]:
    """Return which numbers of a painted map each region is made of: its own and all inner ones'."""
    tables = list(regions.values())
    return {
        name: [number for number, inner in enumerate(tables, 1) if set(inner) <= set(members)]
        for name, members in regions.items()
    }


def _parent(index: int, regions: Sequence[Members]) -> int | None:
    """Return the innermost region that holds a region."""
    holders = [outer for outer in range(index) if set(regions[index]) < set(regions[outer])]
    return holders[-1] if holders else None
