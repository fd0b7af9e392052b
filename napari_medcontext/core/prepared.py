"""Scans as the network sees them: read, checked, resampled, and kept on disk for next time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_medcontext.core import transforms
from napari_medcontext.core.channels import read_channels
from napari_medcontext.core.checks import checked_labels
from napari_medcontext.core.classes import UNKNOWN, Classes
from napari_medcontext.core.config import Case, RunConfig
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.io import atomic_path, read_volume
from napari_medcontext.core.regrid import labels_onto
from napari_medcontext.core.volume import Affine, Spacing

PREPARATION = 3
"""Counts up when scans are prepared differently, so that older caches are not used."""

_Arrays = tuple[npt.NDArray[Any], npt.NDArray[Any] | None, Affine]


@dataclass(frozen=True, eq=False)
class PreparedScan:
    """A scan as the network sees it, RAS: ``image`` ``(C, x, y, z)``, ``labels`` ``(x, y, z)``.

    Labels are class indices, and ``UNKNOWN`` where nothing is known.
    """

    name: str
    image: Tensor
    labels: Tensor | None
    affine: Affine
    source_spacing: Spacing

    @property
    def shown(self) -> Tensor:
        """The first channel, ``(x, y, z)``: the one that is shown."""
        return self.image[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """The number of voxels along x, y and z."""
        x, y, z = self.shown.shape
        return x, y, z


def prepared_scan(
    case: Case,
    source_spacing: Spacing,
    classes: Classes,
    spacing: Spacing,
    config: RunConfig,
    cache: Path | None,
    channels: Sequence[str] = (),
) -> PreparedScan:
    """Prepare a scan, or take it from the cache if it was prepared alike before.

    Parameters
    ----------
    case
        The files of the scan and its labels.
    source_spacing
        The scan's own voxel size in mm, along RAS.
    classes
        What the ids in the labels mean.
    spacing
        Voxel size to resample to, in mm, along RAS.
    config
        How intensities are scaled.
    cache
        Folder for prepared scans; ``None`` keeps them in memory.
    channels
        Names of the scan's channels; none for a single one.

    Raises
    ------
    ScanError
        If the scan or its labels cannot be used, or the labels vanish at this spacing.
    """
    entry = _CacheEntry(cache, case, classes, spacing, config, channels) if cache else None
    arrays = entry.load() if entry else None
    if arrays is None:
        arrays = _prepare(case, classes, spacing, config, channels)
        if entry:
            arrays = entry.save(arrays)
    image, labels, affine = arrays
    return PreparedScan(
        case.name,
        torch.as_tensor(image),
        None if labels is None else torch.as_tensor(labels),
        affine,
        source_spacing,
    )


def _prepare(
    case: Case, classes: Classes, spacing: Spacing, config: RunConfig, channels: Sequence[str]
) -> _Arrays:
    volumes = read_channels(case, channels, resample=config.data.resample)
    image, prepared = transforms.prepare_channels(volumes, spacing, config.data)
    if case.labels is None:
        return image, None, prepared.affine
    drawn = read_volume(case.labels)
    if config.data.resample:
        drawn = labels_onto(drawn, volumes[0], classes.unknown_id or 0)
    labels = checked_labels(drawn, volumes[0], classes.unknown_id)
    indices = labels.with_array(classes.to_indices(labels.array))
    resampled = transforms.prepare_labels(indices, prepared)
    if case.role == "training":
        _refuse_vanished(case, resampled, spacing)
    return image, resampled, prepared.affine


def _refuse_vanished(case: Case, labels: npt.NDArray[Any], spacing: Spacing) -> None:
    if not (labels[labels != UNKNOWN]).any():
        raise ScanError(
            f"Nothing is left of the labels of “{case.name}” at a spacing of {spacing} mm. "
            "Choose a finer spacing."
        )


class _CacheEntry:
    """Prepared arrays of one scan on disk, found again by all that they depend on."""

    def __init__(
        self,
        folder: Path,
        case: Case,
        classes: Classes,
        spacing: Spacing,
        config: RunConfig,
        channels: Sequence[str],
    ) -> None:
        files = [path for path in (case.image, *case.further, case.labels) if path is not None]
        facts = [
            PREPARATION,
            [[str(path), path.stat().st_mtime_ns, path.stat().st_size] for path in files],
            classes.ids,
            classes.unknown_id,
            spacing,
            config.data.intensity,
            config.data.window,
            len(channels),
            config.data.resample,
        ]
        key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
        self._parts = {part: folder / f"{key}-{part}.npy" for part in ("image", "labels", "affine")}
        self._has_labels = case.labels is not None

    def load(self) -> _Arrays | None:
        # The affine is written last: where it is, the others are whole.
        if not self._parts["affine"].is_file():
            return None
        try:
            # Copy-on-write mapping: torch wants writable memory, the file must not change.
            return (
                np.load(self._parts["image"], mmap_mode="c"),
                np.load(self._parts["labels"], mmap_mode="c") if self._has_labels else None,
                np.load(self._parts["affine"]),
            )
        except (OSError, ValueError):
            return None

    def save(self, arrays: _Arrays) -> _Arrays:
        for part, array in zip(("image", "labels", "affine"), arrays, strict=True):
            if array is not None:
                with atomic_path(self._parts[part]) as temporary:
                    np.save(temporary, array)
        return self.load() or arrays
