"""A prediction under way: scans go to a child process, answers come back as layers."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from typing import Any

from napari.layers import Image
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import Signal

from napari_medcontext.core.bundles import is_bundle
from napari_medcontext.core.events import Event, PredictionProgress, PredictionSaved, RunFinished
from napari_medcontext.core.io import read_volume
from napari_medcontext.core.prediction_plan import PredictFolder, PredictSpec, probability_path
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.training_settings import DataSettings
from napari_medcontext.snapshots import Scan, planned_cases, writer
from napari_medcontext.viewer_layers import add_prediction
from napari_medcontext.widgets.child_work import ChildWork

SCANS, ANSWERS = "scans", "predictions"
"""Folders in the work's own: what is predicted, and what came of it."""


class Prediction(ChildWork):
    """Scans that are being predicted; it outlives the dock that asked for it.

    Parameters
    ----------
    viewer
        The napari viewer that the answers are added to.
    run
        Whose weights predict: a run's, or a MONAI bundle's by the path of its folder.
    images, scans
        The image layers, and what was taken from each.
    weights
        ``"student"``, ``"teacher"`` or ``"mean"``.
    probabilities
        Whether to add each class's probability too.
    """

    progressed = Signal(str, float, int)
    """Name of the scan at work, scans done with their fraction, and all scans."""

    ended = Signal(str, bool)
    """What came of it, and whether it failed."""

    def __init__(
        self,
        viewer: Any,
        run: RunFolder,
        images: Sequence[Image],
        scans: Sequence[Scan],
        weights: str,
        probabilities: bool,
    ) -> None:
        folder = PredictFolder(tempfile.mkdtemp(prefix="medcontext-predict-"))
        cases = tuple(
            case.model_copy(update={"name": f"{index:02d}"})
            for index, case in enumerate(planned_cases(scans, folder.path / SCANS))
        )
        spec = PredictSpec(
            run=run.path,
            scans=cases,
            out=folder.path / ANSWERS,
            weights=weights,
            probabilities=probabilities,
        )
        # As the run is now: its folder may be gone when the answers come.
        learned = None if is_bundle(run.path) else run.spec()
        data = DataSettings() if learned is None else learned.config.data
        write_scans = writer(scans, cases, data)

        def prepare() -> None:
            write_scans()
            folder.create(spec)

        super().__init__(folder, prepare, f"Predicting with {run.name}", (SCANS, ANSWERS))
        self._viewer = viewer
        self._run, self._spec = run, learned
        self._weights = weights
        self._targets = {case.name: image for case, image in zip(cases, images, strict=True)}
        self._dropped: list[str] = []
        self._hidden: list[str] = []
        self._started = time.monotonic()

    def _receive(self, event: Event) -> None:
        match event:
            case PredictionProgress(name=name, done=done, total=total, fraction=fraction):
                self._work.show_progress(done + fraction, total)
                self.progressed.emit(self._targets[name].name, done + fraction, total)
            case PredictionSaved():
                self._show(event)
            case RunFinished():
                self._end(event)

    def _show(self, event: PredictionSaved) -> None:
        image = self._targets[event.name]
        if image not in self._viewer.layers:
            self._dropped.append(image.name)
            return
        labels = read_volume(event.labels)
        maps = (
            {
                name: read_volume(probability_path(event.labels, class_id)).array
                for class_id, name in labels.class_names.items()
            }
            if event.probabilities
            else None
        )
        name = f"{image.name} · {self._run.name} {self._weights}"
        shown = add_prediction(self._viewer, labels, image, name, maps, self._run.path, self._spec)
        if not (image.visible and shown.visible):
            self._hidden.append(image.name)

    def _end(self, event: RunFinished) -> None:
        failed = event.reason == "failed"
        (show_error if failed else show_info)(event.message)
        seconds = time.monotonic() - self._started
        gone = [f"“{name}” was removed; its prediction is dropped." for name in self._dropped]
        told = event.message if failed else f"{event.message} ({seconds:.0f} s)"
        if self._hidden:
            scans = ", ".join(f"“{name}”" for name in self._hidden)
            gone.append(f"Switch on the eyes of {scans} and the new labels to see them.")
        # Layers that are removed from now on must not be held here.
        self._targets = {}
        self.ended.emit(" ".join([told, *gone]), failed)
