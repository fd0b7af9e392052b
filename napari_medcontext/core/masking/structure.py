"""Hide a whole structure, so that only what lies around it can bring it back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects

from napari_medcontext.core.classes import UNKNOWN
from napari_medcontext.core.masking.blocks import VOXEL, Size

Box = tuple[slice, slice, slice]

LARGEST_BOX = 0.5
"""A structure that fills more of the sample has too little round it to be told from."""
MOST_HIDDEN = 0.8
"""Boxes that would hide more of a sample together are not laid."""
MARGIN = 0.25
"""Each side of the box lies up to this share of the structure's extent outside of it."""
LEAST_MARGIN = 2
"""Voxels; small structures get boxes that vary too."""
DECOY_SCALE = (0.7, 1.3)
"""Sides of decoys, as a share of the box's: its own size lies in their middle."""
MOST_DECOYS = 32
TRIES = 64


def draw_structure(
    shape: Size,
    *,
    ratio: float,
    block: Size,
    labels: npt.NDArray[Any] | None,
    unit: Size,
    rng: np.random.Generator,
) -> npt.NDArray[np.bool_]:
    """Hide one labelled structure in a box, among decoys of similar size.

    Parameters
    ----------
    shape
        Spatial shape ``(x, y, z)``.
    ratio
        Share of the sample to hide; decoys are added until it is reached, at least one and at
        most 32.
    block
        Sides in voxels of the decoys where no structure is labelled.
    labels
        Class indices of that shape, 0 and ``UNKNOWN`` for nothing. Each class there is chosen as
        often as the others, those apart that fill more than half of the sample.
    unit
        Sides of boxes are whole multiples of this many voxels.
    rng
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        Boolean, shape ``(x, y, z)``; true where hidden.
    """
    boxes = structure_boxes(shape, block=block, labels=labels, unit=unit, rng=rng, ratio=ratio)
    return _covered(shape, boxes)


def structure_boxes(
    shape: Size,
    *,
    ratio: float,
    block: Size,
    labels: npt.NDArray[Any] | None,
    unit: Size,
    rng: np.random.Generator,
) -> list[Box]:
    """Return the boxes of ``draw_structure``, that of the structure first where there is one."""
    boxes: list[Box] = []
    sides: Sequence[int] = block
    candidates = _candidates(shape, labels, unit)
    if candidates:
        tight = candidates[int(rng.integers(len(candidates)))]
        boxes.append(_jittered(tight, shape, unit, rng))
        sides = [side.stop - side.start for side in boxes[0]]
    hidden = _covered(shape, boxes)
    share, decoys = float(hidden.mean()), 0
    for _ in range(TRIES):
        if decoys == MOST_DECOYS or (decoys and share >= ratio):
            break
        decoy = _decoy(sides, shape, unit, rng)
        more = share + float((~hidden[decoy]).sum()) / hidden.size
        if more <= MOST_HIDDEN:
            boxes.append(decoy)
            hidden[decoy] = True
            share, decoys = more, decoys + 1
    return boxes or [_decoy(unit, shape, unit, rng)]


def box_round(mask: npt.NDArray[np.bool_], rng: np.random.Generator) -> Box:
    """Return a box that holds all of a structure, moved outwards by chance as in training.

    Parameters
    ----------
    mask
        Where the structure is, shape ``(x, y, z)``; not empty. One that fills more than half of
        the scan gets the tightest box.
    rng
        Source of randomness.
    """
    x, y, z = find_objects(mask.view(np.uint8))[0]
    return _jittered((x, y, z), (mask.shape[0], mask.shape[1], mask.shape[2]), VOXEL, rng)


def _candidates(shape: Size, labels: npt.NDArray[Any] | None, unit: Size) -> list[Box]:
    """Return the tightest box round each structure that leaves enough round itself."""
    if labels is None or not labels.any():
        return []
    found = find_objects(np.where(labels == UNKNOWN, 0, labels).astype(np.int32))
    tight = [_snapped(box, shape, unit) for box in found if box is not None]
    return [box for box in tight if _volume(box) <= LARGEST_BOX * np.prod(shape)]


def _jittered(box: Box, shape: Size, unit: Size, rng: np.random.Generator) -> Box:
    """Move each side outwards by chance, so that neither size nor place is the structure's."""
    for _ in range(TRIES):
        sides = []
        for side, grain in zip(box, unit, strict=True):
            most = max(LEAST_MARGIN, grain, round(MARGIN * (side.stop - side.start)))
            before, after = rng.integers(0, most + 1, 2)
            sides.append(slice(side.start - int(before), side.stop + int(after)))
        wider = _snapped(sides, shape, unit)
        if _volume(wider) <= LARGEST_BOX * np.prod(shape):
            return wider
    return box


def _decoy(sides: Sequence[int], shape: Size, unit: Size, rng: np.random.Generator) -> Box:
    """Return a box of about these sides anywhere in the sample."""
    box = []
    for side, whole, grain in zip(sides, shape, unit, strict=True):
        drawn = max(1, round(side * rng.uniform(*DECOY_SCALE) / grain)) * grain
        start = int(rng.integers(0, max(0, whole - drawn) // grain + 1)) * grain
        box.append(slice(start, min(start + drawn, whole)))
    return box[0], box[1], box[2]


def _snapped(box: Sequence[slice], shape: Size, unit: Size) -> Box:
    """Move the sides outwards onto the grid of units, within the sample."""
    x, y, z = (
        slice(max(0, side.start // grain * grain), min(whole, -(-side.stop // grain) * grain))
        for side, whole, grain in zip(box, shape, unit, strict=True)
    )
    return x, y, z


def _covered(shape: Size, boxes: Sequence[Box]) -> npt.NDArray[np.bool_]:
    mask = np.zeros(shape, dtype=bool)
    for box in boxes:
        mask[box] = True
    return mask


def _volume(box: Box) -> int:
    return int(np.prod([side.stop - side.start for side in box]))
