"""A prediction under way: scans go to a child process, answers come back as layers."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from napari.layers import Image
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import Signal

from napari_medcontext.core.bundles import is_bundle
from napari_medcontext.core.errors import MedContextError, RunError
from napari_medcontext.core.events import Event, PredictionProgress, PredictionSaved, RunFinished
from napari_medcontext.core.formats.ome_zarr import is_zarr
from napari_medcontext.core.io import require_writable
from napari_medcontext.core.prediction_plan import (
    ZARR_ENDING,
    PredictFolder,
    PredictSpec,
)
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.training_settings import DataSettings
from napari_medcontext.prediction_layers import Provenance
from napari_medcontext.saved_predictions import add_saved_prediction
from napari_medcontext.snapshots import Scan, planned_cases, writer
from napari_medcontext.widgets.child_work import ChildWork

SCANS, ANSWERS = "scans", "predictions"
"""Folders in the work's own: what is predicted, and what came of it."""
KEPT = "predicted"
"""Folder in a run's, where what is predicted of OME-Zarr stays."""


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
        self._lasting = _lasting_folder(run, scans)
        folder = PredictFolder(tempfile.mkdtemp(prefix="medcontext-predict-"))
        cases = tuple(
            case.model_copy(update={"name": f"{index:02d}-{_file_word(case.name)}"})
            for index, case in enumerate(planned_cases(scans, folder.path / SCANS))
        )
        spec = PredictSpec(
            run=run.path,
            scans=cases,
            out=self._lasting or folder.path / ANSWERS,
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
        name = f"{image.name} · {self._run.name} {self._weights}"
        shown = add_saved_prediction(
            self._viewer,
            event.labels,
            Provenance(image, name, self._run.path, self._spec),
            probabilities=event.probabilities is not None,
        )
        if not (image.visible and shown.visible):
            self._hidden.append(image.name)

    @property
    def _are_kept(self) -> bool:
        """Whether answers lie in the lasting folder, heard of or not."""
        return self._lasting is not None and any(self._lasting.glob(f"[!.]*{ZARR_ENDING}"))

    def _clean_up(self, last: RunFinished | None) -> None:
        super()._clean_up(last)
        if self._lasting is None:
            return
        # What a child that was killed had begun is hidden.
        for left in [self._lasting] if not self._are_kept else self._lasting.glob(".*"):
            shutil.rmtree(left, ignore_errors=True)

    def _end(self, event: RunFinished) -> None:
        failed = event.reason == "failed"
        (show_error if failed else show_info)(event.message)
        seconds = time.monotonic() - self._started
        fate = "is dropped" if self._lasting is None else "is not shown"
        gone = [f"“{name}” was removed; its prediction {fate}." for name in self._dropped]
        if self._are_kept:
            gone.append(f"What is predicted of OME-Zarr is kept in {self._lasting}.")
        told = event.message if failed else f"{event.message} ({seconds:.0f} s)"
        if self._hidden:
            scans = ", ".join(f"“{name}”" for name in self._hidden)
            gone.append(f"Switch on the eyes of {scans} and the new labels to see them.")
        # Layers that are removed from now on must not be held here.
        self._targets = {}
        self.ended.emit(" ".join([told, *gone]), failed)


def _lasting_folder(run: RunFolder, scans: Sequence[Scan]) -> Path | None:
    """Return where answers are kept that are read from files as they are looked at, if any are."""
    if not any(is_zarr(file) for scan in scans for file in scan.files):
        return None
    folder = run.path / KEPT / f"{datetime.now():%Y-%m-%d %H.%M.%S.%f}"
    try:
        require_writable(folder)
    except MedContextError as error:
        raise RunError(
            "What is predicted of OME-Zarr is kept in the run's folder, which may not be written "
            f"to: {run.path}. Copy the run to where you may write, or predict in the terminal: "
            "medcontext predict RUN SCAN --out FOLDER."
        ) from error
    return folder


def _file_word(name: str) -> str:
    """Return a layer's name as a part of a file's."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")
