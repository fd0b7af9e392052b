"""A patch plan under way: labels go to a child process, which comes back with the plan."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Signal

from napari_medcontext.core.config import Case, RunConfig
from napari_medcontext.core.events import Event, Preparing, RunFinished
from napari_medcontext.core.io import write_volume
from napari_medcontext.core.patch_plan import PlanFolder, PlanSpec
from napari_medcontext.core.settings import validated
from napari_medcontext.snapshots import Scan
from napari_medcontext.widgets.child_work import ChildWork

LABELS = "labels"
"""Folder in the work's own: the labels that are planned for."""


class PatchPlanning(ChildWork):
    """Labels that patches are planned for.

    Parameters
    ----------
    scans
        The training's scans; what has labels is looked at.
    config
        The settings of the training to come.
    channels
        What the channels of a scan are, where there are several.
    probe
        Whether to measure training steps too.
    """

    progressed = Signal(str)
    """What is being done."""
    ended = Signal(object, str)
    """The ``PatchPlan``, or None and why there is none."""

    def __init__(
        self, scans: Sequence[Scan], config: RunConfig, *, channels: Sequence[str], probe: bool
    ) -> None:
        folder = PlanFolder(tempfile.mkdtemp(prefix="medcontext-patches-"))
        drawn = [scan.labels for scan in scans if scan.role == "training" and scan.labels]
        files = [folder.path / LABELS / f"{index:02d}.nii" for index in range(len(drawn))]

        def prepare() -> None:
            for labels, file in zip(drawn, files, strict=True):
                write_volume(file, labels)
            # Labels lie as their scan does, whose voxels nobody needs.
            cases = tuple(
                _case(file, labels.name) for labels, file in zip(drawn, files, strict=True)
            )
            names = {k: name for labels in drawn for k, name in labels.class_names.items()}
            values = {"config": config, "cases": cases, "class_names": names}
            values |= {"channels": channels, "probe": probe}
            folder.create(validated(PlanSpec, values, "the patch plan"))

        super().__init__(folder, prepare, "Planning patches", (LABELS,))
        self._folder = folder

    def _receive(self, event: Event) -> None:
        match event:
            case Preparing(message=message, done=done, total=total):
                self._work.show_progress(done, total)
                self.progressed.emit(message)
            case RunFinished(reason="completed", message=message):
                self.ended.emit(self._folder.plan(), message)
            case RunFinished(message=message):
                self.ended.emit(None, message)


def _case(file: Path, name: str) -> Case:
    return Case(name=name, image=file, labels=file)
