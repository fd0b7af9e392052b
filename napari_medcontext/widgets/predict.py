"""The Predict dock: apply a run to open scans."""

from __future__ import annotations

from typing import Any

from napari.layers import Image
from napari.utils.notifications import show_error
from napari.viewer import Viewer
from qtpy.compat import isalive
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFormLayout,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from napari_medcontext.core.bundles import channels_of, is_bundle
from napari_medcontext.core.errors import MedContextError, ScanError
from napari_medcontext.layer_channels import channel_layers
from napari_medcontext.pairing import scan_layers
from napari_medcontext.widgets.parts import (
    TICKS,
    Text,
    button,
    choices,
    row,
    tick_box,
)
from napari_medcontext.widgets.prediction import Prediction
from napari_medcontext.widgets.run_chooser import RunChooser
from napari_medcontext.widgets.scan_choice import scan_of_layer, scan_to_predict
from napari_medcontext.widgets.session import real_viewer, session_of


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
        self._build()
        for emitter in (viewer.layers.events.inserted, viewer.layers.events.removed):
            emitter.connect(self._follow_layers)
        viewer.layers.events.renamed.connect(self._follow_layers)
        self._session.run_changed.connect(self.runs.show_run)
        self.runs.show_run(self._session.run)
        self._follow_layers()
        self._show_state()
        if (under_way := self._session.prediction) is not None and under_way.is_running:
            self._follow(under_way)

    def predict(self) -> None:
        """Predict the ticked scans with the named run."""
        try:
            run = self.runs.required()
            images = self.ticked()
            if not images:
                raise ScanError("No scan is ticked. Tick the scans to predict.")
            layers, channels = list(self._viewer.layers), channels_of(run.path)
            # Of a scan of several channels, any layer may be ticked, or all.
            firsts = (channel_layers(image, layers, channels)[0] for image in images)
            images = list(dict.fromkeys(firsts))
            # A bundle of others takes whole scans.
            taken = scan_of_layer if is_bundle(run.path) else scan_to_predict
            scans = [taken(image, layers, channels) for image in images]
            prediction = Prediction(
                self._viewer,
                run,
                images,
                scans,
                self.weights.currentText(),
                self.probabilities.isChecked(),
            )
        except MedContextError as error:
            self._tell_error(str(error))
            return
        self._session.predict(prediction)
        self._follow(prediction)

    def cancel(self) -> None:
        """Stop; scans predicted so far are kept."""
        if self._session.prediction is not None:
            self._session.prediction.stop()

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
        self.runs = RunChooser("predict", bundles=True)
        self.run_path = self.runs.path
        self.scans = QListWidget()
        self.scans.setObjectName("predict_scans")
        self.scans.setToolTip("The scans to predict.")
        self.scans.setStyleSheet(TICKS)
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
        self.message = Text("predict_message", "Choose a run and tick the scans to predict.")
        self._lay_out()

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.addRow("Run", self.runs)
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
        if not isalive(self):
            return
        ticked = {id(image) for image in self.ticked()}
        self.scans.clear()
        for layer in scan_layers(self._viewer.layers):
            if layer.ndim == 3:
                item = QListWidgetItem(layer.name)
                item.setData(Qt.UserRole, layer)
                item.setCheckState(Qt.Checked if id(layer) in ticked else Qt.Unchecked)
                self.scans.addItem(item)

    def _follow(self, prediction: Prediction) -> None:
        prediction.progressed.connect(self._show_progress)
        prediction.ended.connect(self._end)
        self.message.setText("Starting…")
        self._show_state()

    def _show_progress(self, name: str, done: float, total: int) -> None:
        self.progress.setRange(0, total * 100)
        self.progress.setValue(int(done * 100))
        self.message.setText(f"Predicting {name}…")

    def _end(self, message: str, failed: bool) -> None:
        self.message.setText(f"⚠ {message}" if failed else message)
        self.progress.setValue(self.progress.maximum())
        self._show_state()
        self.finished.emit()

    def _show_state(self) -> None:
        under_way = self._session.prediction
        running = under_way is not None and under_way.is_running
        self.predict_button.setEnabled(not running)
        self.cancel_button.setEnabled(running)

    def _tell_error(self, text: str) -> None:
        self.message.setText(f"⚠ {text}")
        show_error(text)
