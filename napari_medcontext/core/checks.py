"""What must hold of a scan and its labels before anything is done with them."""

from __future__ import annotations

import numpy as np

from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.labels import as_label_array
from napari_medcontext.core.volume import Array, Volume, grid_distance

RESAMPLE = "let the training resample them (--resample, in the Train dock “Resample onto the scan”)"
"""What to do about labels on another grid."""
MOST_CLASSES = 1000
"""Labels of more are an image; the finest atlases of the brain have some 400."""
COUNTED_VOXELS = 1_000_000
"""Of so many it is enough to know how many values they have."""


def checked_image(image: Volume) -> Volume:
    """Return the scan if it is 3D, real and finite.

    Raises
    ------
    ScanError
        Naming the scan, what is wrong, and what to do.
    """
    array = image.array
    if array.ndim != 3:
        kind = {2: "a single slice", 4: "a series of volumes or channels"}.get(
            array.ndim, f"{array.ndim}-dimensional"
        )
        raise ScanError(
            f"“{image.name}” is {kind} (shape {array.shape}); training and prediction need a 3D "
            "scan. Choose a 3D layer, or split the series into one layer each."
        )
    if array.size == 0:
        raise ScanError(f"“{image.name}” holds no voxels. Choose another scan.")
    if np.iscomplexobj(array) or array.dtype.kind not in "buif":
        raise ScanError(f"“{image.name}” holds {array.dtype} values, not intensities.")
    # The sum tells fast that all is well; it may itself overflow, and is then no verdict.
    with np.errstate(over="ignore", invalid="ignore"):
        total = array.sum(dtype=np.float64)
    if array.dtype.kind == "f" and not np.isfinite(total):
        bad = int(np.count_nonzero(~np.isfinite(array)))
        if bad:
            raise ScanError(
                f"“{image.name}” has {bad} voxels that are NaN or infinite. Replace them, for "
                "example with numpy.nan_to_num, and load the scan again."
            )
    return image


def checked_labels(labels: Volume, image: Volume, unknown_id: int | None = None) -> Volume:
    """Return the labels as whole-number class ids, if they fit their scan.

    Parameters
    ----------
    labels, image
        Labels and the scan that they were drawn on. Programs store labels in an orientation of
        their own: what is returned lies on the scan's grid.
    unknown_id
        The id that means “unknown”, if there is one.

    Raises
    ------
    ScanError
        If shape or geometry differ from the scan's, ids are negative or not whole, the
        layer is empty, or there is one class only, what is unknown left out; if they are an
        image, and not labels.
    """
    turned = labels.turned_onto(image)
    if turned is None:
        raise ScanError(grid_problem(labels, image))
    labels = turned
    ids = as_label_array(labels.array, labels.name)
    known = ids if unknown_id is None else ids[ids != unknown_id]
    if known.size == 0:
        raise ScanError(
            f"The labels “{labels.name}” are unknown ({unknown_id}) in every voxel. Annotate a "
            "part of the scan, or train on it without labels."
        )
    lowest, highest = int(known.min()), int(known.max())
    if highest == 0:
        raise ScanError(
            f"The labels “{labels.name}” are empty: every voxel is 0 (background). Paint at "
            "least one class, or set this scan to “unused”."
        )
    if lowest == highest:
        raise ScanError(
            f"The labels “{labels.name}” hold one class only, {highest}, in every voxel; there "
            "is nothing to tell it from. Leave the background 0."
        )
    _refuse_image(labels, image, highest)
    # The scan's own affine: the labels' may be rounded otherwise, and tip where axes are turned.
    return Volume(ids, image.affine, labels.name, labels.class_names)


def grid_problem(labels: Volume, image: Volume) -> str:
    """Say how labels lie on another grid than their scan; nothing where they lie on its voxels.

    Their axes may run in other directions than the scan's; only grids are looked at, not voxels.
    """
    if labels.turned_onto(image) is not None:
        return ""
    turned = labels.reoriented(image.orientation)
    named = f"The labels “{labels.name}”"
    if labels.orientation != image.orientation:
        named += f", turned from {labels.orientation} to {image.orientation} as their scan lies,"
    if turned.shape != image.shape:
        return (
            f"{named} have the shape {turned.shape} but their scan "
            f"“{image.name}” has {image.shape}. Pair each scan with the labels drawn on it; if "
            f"these are, but on another grid, {RESAMPLE}."
        )
    distance = grid_distance(image, turned) * min(image.spacing)
    return (
        f"{named} lie up to {distance:.1f} mm from their scan “{image.name}”: their affines "
        f"differ. Choose the labels that belong to it; if these do, {RESAMPLE}."
    )


def _refuse_image(labels: Volume, image: Volume, highest: int) -> None:
    """Refuse intensities that are whole numbers, as those of most scanners are."""
    remedy = "Choose the labels that were drawn on the scan."
    # A scan that is read lazily is compared once it is held, away from the window.
    if image.is_held and _same_voxels(labels.array, image.array):
        raise ScanError(f"The labels “{labels.name}” are the scan “{image.name}” itself. {remedy}")
    if highest <= MOST_CLASSES:
        return
    every = max(1, round((labels.array.size / COUNTED_VOXELS) ** (1 / 3)))
    values = labels.array[::every, ::every, ::every]
    if (count := len(np.unique(values))) > MOST_CLASSES:
        raise ScanError(
            f"The labels “{labels.name}” hold {count:,} different values or more, as an image "
            f"does: labels have one whole number for each class. {remedy}"
        )


def _same_voxels(first: Array, second: Array) -> bool:
    """Tell whether all voxels are equal; where they are not, the middle slice mostly shows it."""
    middle = first.shape[0] // 2
    return np.array_equal(first[middle], second[middle]) and np.array_equal(first, second)
