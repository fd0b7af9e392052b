"""Copies of layers as files, so that work goes on whatever becomes of the layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_medcontext.core.channels import require_channels
from napari_medcontext.core.checks import checked_labels
from napari_medcontext.core.config import Case, Role
from napari_medcontext.core.io import write_volume
from napari_medcontext.core.volume import Volume


@dataclass(frozen=True, eq=False)
class Scan:
    """A scan taken from layers: its voxels and geometry, and what it is used for.

    ``further`` are its channels after the first.
    """

    image: Volume
    labels: Volume | None = None
    role: Role = "training"
    further: tuple[Volume, ...] = ()


def planned_cases(scans: Sequence[Scan], folder: Path) -> tuple[Case, ...]:
    """Return the cases that these scans will be once they are written."""
    return tuple(
        Case(
            name=scan.image.name,
            image=folder / f"{index:02d}-image.nii",
            further=tuple(
                folder / f"{index:02d}-image-{channel}.nii"
                for channel in range(1, 1 + len(scan.further))
            ),
            labels=None if scan.labels is None else folder / f"{index:02d}-labels.nii",
            role=scan.role,
        )
        for index, scan in enumerate(scans)
    )


def writer(
    scans: Sequence[Scan], cases: Sequence[Case], unknown_id: int | None = None
) -> Callable[[], None]:
    """Return what checks the scans and writes them; all are checked before any is written.

    ``unknown_id`` is the id in the labels that means “unknown”, if there is one.
    """

    def write() -> None:
        checked = [(_checked_channels(scan), _checked(scan, unknown_id)) for scan in scans]
        for case, (channels, labels) in zip(cases, checked, strict=True):
            for path, channel in zip((case.image, *case.further), channels, strict=True):
                write_volume(path, channel)
            if labels is not None and case.labels is not None:
                write_volume(case.labels, labels)

    return write


def _checked_channels(scan: Scan) -> tuple[Volume, ...]:
    channels = (scan.image, *scan.further)
    require_channels(channels, [channel.name for channel in channels])
    return channels


def _checked(scan: Scan, unknown_id: int | None) -> Volume | None:
    if scan.labels is None:
        return None
    return checked_labels(scan.labels, scan.image, unknown_id)
