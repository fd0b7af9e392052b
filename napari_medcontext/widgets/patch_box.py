"""A patch as a box in the viewer, round the labelled organs of a scan."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels, Shapes

from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.labels import bounding_box
from napari_medcontext.core.networks import PatchSize
from napari_medcontext.core.patch_plan.sight import size_text
from napari_medcontext.core.volume import Spacing, Volume
from napari_medcontext.layer_volumes import layer_to_volume
from napari_medcontext.overlays import box_slices, show_on

WHAT = "patch"
COLOUR = "#F0E442"
EDGE_WIDTH_MM = 1.0
AXIS_OF = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}
Sides = list[tuple[float, float]]


def show_patch(viewer: Any, labels: Labels, size: PatchSize, spacing: Spacing) -> Shapes:
    """Draw a patch on a labels layer, in place of the one before.

    Parameters
    ----------
    viewer
        The napari viewer.
    labels
        The layer; the patch is centred on what is labelled, and moved into the scan as a
        training does.
    size, spacing
        Voxels of the patch along x, y, z (right, anterior, superior), and their size in mm.

    Raises
    ------
    ScanError
        If nothing is labelled.
    """
    volume = layer_to_volume(labels, list(viewer.layers))
    attributes = {
        "shape_type": "rectangle",
        "edge_color": COLOUR,
        "face_color": "transparent",
        "edge_width": EDGE_WIDTH_MM,
    }
    about = f"{labels.name} · {size_text(size)}"
    shapes = box_slices(patch_sides(volume, size, spacing))
    return show_on(viewer, Shapes, shapes, labels, WHAT, about, attributes)


def patch_sides(labels: Volume, size: PatchSize, spacing: Spacing) -> Sides:
    """Return where a patch begins and ends along the array's axes, in voxels of the array.

    The first voxel reaches from −0.5 to 0.5. A patch that is longer than the scan reaches as far
    beyond it on both sides.
    """
    mask = np.asarray(labels.array) != 0
    if not mask.any():
        raise ScanError(f"Nothing is labelled in “{labels.name}”: there is no organ to look at.")
    sides: Sides = []
    axes = [AXIS_OF[letter] for letter in labels.orientation]
    boxes = zip(bounding_box(mask), mask.shape, axes, labels.spacing, strict=True)
    for box, whole, axis, step in boxes:
        length = size[axis] * spacing[axis] / step
        middle = (box.start + box.stop - 1) / 2
        free = max(0.0, (whole - length) / 2)
        centre = (whole - 1) / 2
        middle = min(max(middle, centre - free), centre + free)
        sides.append((middle - length / 2, middle + length / 2))
    return sides
