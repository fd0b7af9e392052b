"""Copies of layers as files, so that work goes on whatever becomes of the layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from napari_medcontext.core.channels import require_channels
from napari_medcontext.core.checks import checked_labels
from napari_medcontext.core.config import Case, Role
from napari_medcontext.core.io import write_volume
from napari_medcontext.core.regrid import channel_onto, labels_onto
from napari_medcontext.core.training_settings import DataSettings
from napari_medcontext.core.volume import Volume


@dataclass(frozen=True, eq=False)
class Scan:
    """A scan taken from layers: its voxels and geometry, and what it is used for.

    ``further`` are its channels after the first. Where there are ``files``, one a channel, these
    stand for the voxels: they are too many to be copied, and the volumes have none.
    """

    image: Volume
    labels: Volume | None = None
    role: Role = "training"
    further: tuple[Volume, ...] = ()
    files: tuple[Path, ...] = ()

    @property
    def is_held(self) -> bool:
        """Whether its channels' voxels are in memory."""
        return all(channel.is_held for channel in (self.image, *self.further))


def planned_cases(scans: Sequence[Scan], folder: Path) -> tuple[Case, ...]:
    """Return the cases that these scans will be once they are written."""
    cases = []
    for index, scan in enumerate(scans):
        copies = [folder / f"{index:02d}-image.nii"]
        copies += [
            folder / f"{index:02d}-image-{channel}.nii"
            for channel in range(1, 1 + len(scan.further))
        ]
        image, *further = scan.files or copies
        case = Case(
            name=scan.image.name,
            image=image,
            further=tuple(further),
            labels=None if scan.labels is None else folder / f"{index:02d}-labels.nii",
            role=scan.role,
        )
        cases.append(case)
    return tuple(cases)


def writer(scans: Sequence[Scan], cases: Sequence[Case], data: DataSettings) -> Callable[[], None]:
    """Return what checks the scans and writes them.

    All that are in memory are checked before any is written; one whose voxels are left unread is
    read, checked and written by itself. A scan that lies in files already is left to whoever
    reads those.

    ``data`` says which id in the labels means “unknown”, and whether what lies on another grid
    than its scan is brought onto it.
    """

    def write() -> None:
        pairs = zip(scans, cases, strict=True)
        to_write = [(scan, case) for scan, case in pairs if not scan.files]
        checked = [_Checked.of(scan, data) if scan.is_held else None for scan, _ in to_write]
        for (scan, case), known in zip(to_write, checked, strict=True):
            # Within the call, so that none is held when the next is read.
            (known or _Checked.of(scan, data)).write(case)

    return write


class _Checked(NamedTuple):
    """A scan's channels and labels, in memory and fit to be written."""

    channels: tuple[Volume, ...]
    labels: Volume | None

    @classmethod
    def of(cls, scan: Scan, data: DataSettings) -> _Checked:
        return cls(_checked_channels(scan, data), _checked(scan, data))

    def write(self, case: Case) -> None:
        for path, channel in zip((case.image, *case.further), self.channels, strict=True):
            write_volume(path, channel)
        if self.labels is not None and case.labels is not None:
            write_volume(case.labels, self.labels)


def _checked_channels(scan: Scan, data: DataSettings) -> tuple[Volume, ...]:
    channels = tuple(channel.held() for channel in (scan.image, *scan.further))
    if data.resample:
        channels = tuple(channel_onto(channel, channels[0]) for channel in channels)
    require_channels(channels, [channel.name for channel in channels])
    return channels


def _checked(scan: Scan, data: DataSettings) -> Volume | None:
    labels, unknown = scan.labels, data.ignore_label
    if labels is None:
        return None
    if data.resample:
        labels = labels_onto(labels, scan.image, unknown or 0)
    return checked_labels(labels, scan.image, unknown)
