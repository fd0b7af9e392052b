"""The Predict dock: apply a run to open scans."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from napari.layers import Image
from napari.utils.notifications import show_error, show_info
from napari.viewer import Viewer
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFormLayout,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_medcontext.core.errors import MedContextError, ScanError
from napari_medcontext.core.events import Event, PredictionProgress, PredictionSaved, RunFinished
from napari_medcontext.core.io import read_volume
from napari_medcontext.core.jobs import PredictFolder, PredictSpec, probability_path
from napari_medcontext.core.run import RunFolder
from napari_medcontext.layers import add_prediction, layer_to_volume
from napari_medcontext.runners import ProcessRunner
from napari_medcontext.snapshots import Scan, planned_cases, writer
from napari_medcontext.widgets.parts import button, choices, folder_chooser, label, row, tick_box
from napari_medcontext.widgets.session import real_viewer, session_of
from napari_medcontext.widgets.work import Work


class PredictDock(QWidget):
    """Choose a run and scans; each answer becomes a labels layer on its scan.

    Parameters
    ----------
    napari_viewer
        The napari viewer whose image layers are offered.
    """

    finished = Signal()
    """A prediction has ended, in whatever way."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        # napari hands docks a proxy, whose layers are never the same objects twice.
        viewer = real_viewer(napari_viewer)
        self.setObjectName("predict")
        self._viewer = viewer
        self._session = session_of(viewer)
        self._work: Work | None = None
        self._targets: dict[str, Image] = {}
        self._folder: Path | None = None
        self._dropped: list[str] = []
        self._build()
        for emitter in (viewer.layers.events.inserted, viewer.layers.events.removed):
            emitter.connect(self._follow_layers)
        viewer.layers.events.renamed.connect(self._follow_layers)
        self._session.run_changed.connect(lambda run: self.run_path.setText(str(run.path)))
        if self._session.run is not None:
            self.run_path.setText(str(self._session.run.path))
        self._follow_layers()
        self._show_state()

    def predict(self) -> None:
        """Predict the ticked scans with the named run."""
        try:
            run = RunFolder(self.run_path.text().strip())
            run.spec()
            images = self.ticked()
            if not images:
                raise ScanError("No scan is ticked. Tick the scans to predict.")
            layers = list(self._viewer.layers)
            scans = [Scan(layer_to_volume(image, layers), role="unused") for image in images]
            self._start(run, images, scans)
        except MedContextError as error:
            self._tell_error(str(error))

    def cancel(self) -> None:
        """Stop; scans predicted so far are kept."""
        if self._work is not None:
            self._work.runner.stop()

    def ticked(self) -> list[Image]:
        """Return the image layers that are ticked."""
        items = [self.scans.item(index) for index in range(self.scans.count())]
        return [item.data(Qt.UserRole) for item in items if item.checkState() == Qt.Checked]

    def tick(self, images: list[Image]) -> None:
        """Tick these image layers and no others."""
        for index in range(self.scans.count()):
            item = self.scans.item(index)
            chosen = any(item.data(Qt.UserRole) is image for image in images)
            item.setCheckState(Qt.Checked if chosen else Qt.Unchecked)

    def _build(self) -> None:
        self.run_path, browse = folder_chooser(
            "predict", "Folder of a run; one that is still training works too."
        )
        self.scans = QListWidget()
        self.scans.setObjectName("predict_scans")
        self.scans.setToolTip("The scans to predict.")
        self.weights = choices(
            "predict_weights",
            "Whose weights: the student's, the teacher's, or both's mean.",
            [("student", None), ("teacher", None), ("mean", None)],
        )
        self.probabilities = tick_box(
            "predict_probabilities",
            "Class probabilities too",
            "Add an image layer with each class's probability, 0 to 1.",
        )
        self.predict_button = button(
            "predict_start", "Predict", "Predict the ticked scans.", self.predict
        )
        self.cancel_button = button(
            "predict_cancel", "Cancel", "Stop; scans predicted so far are kept.", self.cancel
        )
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.message = label("predict_message", "Choose a run and tick the scans to predict.")
        self._lay_out(browse)

    def _lay_out(self, browse: QPushButton) -> None:
        form = QFormLayout()
        form.addRow("Run", row(self.run_path, browse))
        form.addRow("Scans", self.scans)
        form.addRow("Weights", self.weights)
        form.addRow("", self.probabilities)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addLayout(row(self.predict_button, self.cancel_button))
        layout.addWidget(self.progress)
        layout.addWidget(self.message)
        layout.addStretch()

    def _follow_layers(self, event: Any = None) -> None:
        ticked = {id(image) for image in self.ticked()}
        self.scans.clear()
        for layer in self._viewer.layers:
            if isinstance(layer, Image) and layer.ndim == 3:
                item = QListWidgetItem(layer.name)
                item.setData(Qt.UserRole, layer)
                item.setCheckState(Qt.Checked if id(layer) in ticked else Qt.Unchecked)
                self.scans.addItem(item)

    def _start(self, run: RunFolder, images: list[Image], scans: list[Scan]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="medcontext-predict-"))
        cases = tuple(
            case.model_copy(update={"name": f"{index:02d}"})
            for index, case in enumerate(planned_cases(scans, self._folder / "scans"))
        )
        self._targets = {case.name: image for case, image in zip(cases, images, strict=True)}
        spec = PredictSpec(
            run=run.path,
            scans=cases,
            out=self._folder / "predictions",
            weights=self.weights.currentText(),
            probabilities=self.probabilities.isChecked(),
        )
        folder = PredictFolder(self._folder)
        write_scans = writer(scans, cases)

        def prepare() -> None:
            write_scans()
            folder.create(spec)

        self._run_name = run.name
        self._started, self._dropped = time.monotonic(), []
        self._work = Work(ProcessRunner(folder), prepare, f"Predicting with {run.name}")
        self._work.event_received.connect(self._receive)
        self._work.start()
        self.message.setText("Starting…")
        self._show_state()

    def _receive(self, event: Event) -> None:
        match event:
            case PredictionProgress(name=name, done=done, total=total, fraction=fraction):
                self.progress.setRange(0, total * 100)
                self.progress.setValue(int((done + fraction) * 100))
                if self._work is not None:
                    self._work.show_progress(done + fraction, total)
                self.message.setText(f"Predicting {self._targets[name].name}…")
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
        name = f"{image.name} · {self._run_name} {self.weights.currentText()}"
        add_prediction(self._viewer, labels, image, name, maps)

    def _end(self, event: RunFinished) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        if event.reason == "failed":
            self._tell_error(event.message)
        else:
            seconds = time.monotonic() - self._started
            gone = [f"“{name}” was removed; its prediction is dropped." for name in self._dropped]
            self.message.setText(" ".join([f"{event.message} ({seconds:.0f} s)", *gone]))
            show_info(event.message)
        self.progress.setValue(self.progress.maximum())
        self._show_state()
        self.finished.emit()

    def _show_state(self) -> None:
        running = self._work is not None and self._work.is_running
        self.predict_button.setEnabled(not running)
        self.cancel_button.setEnabled(running)

    def _tell_error(self, text: str) -> None:
        self.message.setText(f"⚠ {text}")
        show_error(text)
