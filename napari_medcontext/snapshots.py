"""Copies of layers as files, so that work goes on whatever becomes of the layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_medcontext.core.checks import checked_image, checked_labels
from napari_medcontext.core.config import Case, Role
from napari_medcontext.core.io import write_volume
from napari_medcontext.core.volume import Volume


@dataclass(frozen=True, eq=False)
class Scan:
    """A scan taken from layers: its voxels and geometry, and what it is used for."""

    image: Volume
    labels: Volume | None = None
    role: Role = "training"


def planned_cases(scans: Sequence[Scan], folder: Path) -> tuple[Case, ...]:
    """Return the cases that these scans will be once they are written."""
    return tuple(
        Case(
            name=scan.image.name,
            image=folder / f"{index:02d}-image.nii",
            labels=None if scan.labels is None else folder / f"{index:02d}-labels.nii",
            role=scan.role,
        )
        for index, scan in enumerate(scans)
    )


def writer(scans: Sequence[Scan], cases: Sequence[Case]) -> Callable[[], None]:
    """Return what checks the scans and writes them; all are checked before any is written."""

    def write() -> None:
        checked = [
            (
                checked_image(scan.image),
                None if scan.labels is None else checked_labels(scan.labels, scan.image),
            )
            for scan in scans
        ]
        for case, (image, labels) in zip(cases, checked, strict=True):
            write_volume(case.image, image)
            if labels is not None and case.labels is not None:
                write_volume(case.labels, labels)

    return write
