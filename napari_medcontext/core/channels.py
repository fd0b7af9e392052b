"""A scan of several channels, such as FLAIR and T1: a volume each, all on one grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_medcontext.core.checks import checked_image
from napari_medcontext.core.config import Case
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.io import read_volume
from napari_medcontext.core.regrid import channel_onto
from napari_medcontext.core.volume import Volume, grid_distance, same_grid


def read_channels(case: Case, names: Sequence[str], *, resample: bool = False) -> list[Volume]:
    """Read what a network is given of a scan, and check it.

    Parameters
    ----------
    case
        The scan: a file for each channel, or one file that holds them along its fourth axis.
    names
        The channels that the network takes, in its order; none for a single one without a name.
    resample
        Whether channels on another grid than the first are brought onto it.

    Returns
    -------
    list of Volume
        In the order of ``names``.

    Raises
    ------
    ScanError
        As ``require_channels``, and if a file cannot be read.
    """
    if case.further or len(names) < 2:
        volumes = [read_volume(path) for path in (case.image, *case.further)]
        if resample:
            volumes = [channel_onto(volume, volumes[0]) for volume in volumes]
    else:
        volumes = split_channels(read_volume(case.image, dimensions=None), case.image)
    require_channels(volumes, names)
    return volumes


def require_channels(channels: Sequence[Volume], names: Sequence[str]) -> None:
    """Refuse channels that a network cannot be given.

    Raises
    ------
    ScanError
        If some are missing or too many, one cannot be used, or lies on another grid than the
        first; names it.
    """
    require_one_grid(channels, names)
    for channel in channels:
        checked_image(channel)


def require_one_grid(channels: Sequence[Volume], names: Sequence[str]) -> None:
    """Refuse channels as ``require_channels`` does, without a look at their voxels."""
    first = channels[0]
    if len(channels) != max(1, len(names)):
        wanted = f"{len(names)} channels ({', '.join(names)})" if len(names) > 1 else "one channel"
        raise ScanError(
            f"“{first.name}” has {len(channels)} channel{'s' * (len(channels) > 1)}, where the "
            f"network takes {wanted}. Name a file for each channel, or one that holds them all."
        )
    for name, other in zip(names[1:], channels[1:], strict=True):
        _require_same_grid(name, first, other)


def split_channels(whole: Volume, path: Path) -> list[Volume]:
    """Return a file's 3D volumes: one, or each channel or time point along a fourth axis.

    Raises
    ------
    ScanError
        If it has more dimensions.
    """
    array = whole.array
    while array.ndim < 3:
        array = array[..., np.newaxis]
    axes = tuple(axis for axis in range(3, array.ndim) if array.shape[axis] == 1)
    array = np.squeeze(array, axis=axes)
    if array.ndim == 3:
        return [replace(whole, array=array)]
    if array.ndim > 4:
        raise ScanError(
            f"{path} has {array.ndim} dimensions {array.shape}; at most 4 can be used. "
            "Split its time points into files of their own."
        )
    return [
        replace(whole, array=array[..., channel], name=f"{whole.name} [{channel}]")
        for channel in range(array.shape[3])
    ]


def _require_same_grid(name: str, first: Volume, other: Volume) -> None:
    advice = (
        "Register them and resample all onto one grid; if they are registered already, let the "
        "training resample them (--resample, in the Train dock “Resample onto the scan”)."
    )
    if other.shape != first.shape:
        raise ScanError(
            f"The channel {name} (“{other.name}”) has the shape {other.shape}, the first channel "
            f"“{first.name}” {first.shape}. {advice}"
        )
    if not same_grid(first, other):
        away = grid_distance(first, other) * min(first.spacing)
        raise ScanError(
            f"The channel {name} (“{other.name}”) lies up to {away:.1f} mm from the first channel "
            f"“{first.name}”. {advice}"
        )
