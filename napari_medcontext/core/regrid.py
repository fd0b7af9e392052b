"""Bring labels and channels onto their scan's grid, where the user agreed to that."""

from __future__ import annotations

import numpy as np

from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.labels import as_label_array
from napari_medcontext.core.volume import Array, Volume


def labels_onto(labels: Volume, scan: Volume, outside: int = 0) -> Volume:
    """Return labels on a scan's grid, each voxel the class of the nearest.

    Parameters
    ----------
    labels, scan
        In one world of RAS+ millimetres, on any two grids.
    outside
        The id of what the labels do not reach: the background, or “unknown” where there is one.

    Raises
    ------
    ScanError
        If the labels are no class ids, or none of them lies on the scan.
    """
    if (turned := labels.turned_onto(scan)) is not None:
        return turned
    ids = as_label_array(labels.array, labels.name)
    dtype = np.promote_types(ids.dtype, np.min_scalar_type(outside))
    moved = _resampled(labels.with_array(ids.astype(dtype)), scan, order=0, fill=outside)
    if ids.any() and not ((moved != 0) & (moved != outside)).any():
        raise ScanError(
            f"Nothing of the labels “{labels.name}” lies on their scan “{scan.name}”: they are "
            "somewhere else in the world. Choose the labels that belong to this scan."
        )
    return Volume(moved, scan.affine, labels.name, labels.class_names)


def channel_onto(channel: Volume, first: Volume) -> Volume:
    """Return a channel on the first channel's grid, interpolated linearly, its edges continued."""
    if (turned := channel.turned_onto(first)) is not None:
        return turned
    moved = _resampled(channel.with_array(channel.array.astype(np.float32)), first, order=1)
    return Volume(moved, first.affine, channel.name)


def _resampled(volume: Volume, grid: Volume, *, order: int, fill: int | None = None) -> Array:
    from nibabel import Nifti1Image
    from nibabel.processing import resample_from_to

    # “grid-constant” counts a voxel's outer half as inside, which “constant” does not.
    outside = {"mode": "nearest"} if fill is None else {"mode": "grid-constant", "cval": fill}
    image = Nifti1Image(volume.array, volume.affine)
    moved = resample_from_to(image, (grid.shape, grid.affine), order=order, **outside)
    return np.asarray(moved.dataobj)
