"""The Compare dock: a prediction against its reference, class by class."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from napari.layers import Labels
from napari.qt.threading import create_worker
from napari.utils.notifications import show_error
from napari.viewer import Viewer
from qtpy.compat import isalive
from qtpy.QtCore import QSize, Signal
from qtpy.QtWidgets import QApplication, QFileDialog, QFormLayout, QVBoxLayout, QWidget

from napari_medcontext.core.errors import MedContextError, ScanError
from napari_medcontext.core.evaluation import evaluate_volumes
from napari_medcontext.core.scores import ClassScore, scores_to_text, summarise, write_scores
from napari_medcontext.core.volume import Volume
from napari_medcontext.layer_geometry import scan_metadata
from napari_medcontext.layer_volumes import layer_to_volume
from napari_medcontext.widgets.labels_box import LabelsBox, fitting_reference, newest_prediction
from napari_medcontext.widgets.parts import button, label, row
from napari_medcontext.widgets.score_table import ScoreTable
from napari_medcontext.widgets.session import real_viewer

_HINT = "Choose a prediction and the labels that it should match, then press Compare."
_SIZE = QSize(460, 600)


class CompareDock(QWidget):
    """Score a prediction against a reference, both of them Labels layers.

    Parameters
    ----------
    napari_viewer
        The viewer whose layers are compared.

    Attributes
    ----------
    scores
        What the last comparison found; empty before the first.
    compared
        Emitted after each comparison, failed ones included.
    """

    compared = Signal()

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        # napari hands docks a proxy, whose layers are never the same objects twice.
        viewer = real_viewer(napari_viewer)
        self.setObjectName("compare")
        self.scores: list[ClassScore] = []
        self._viewer = viewer
        self._shown_as: Labels | None = None
        self._asked = ""
        self._build()
        self.prediction_box.activated.connect(lambda _: self.reference_box.suggest(self._reference))
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered, events.renamed):
            event.connect(self._follow_layers)
        self._follow_layers()

    def sizeHint(self) -> QSize:
        """Return the size at which every column can be read."""
        return _SIZE

    def choose(self, prediction: Labels, reference: Labels | None = None) -> None:
        """Select what to compare, as a user would; without a reference, one that fits."""
        self.prediction_box.choose(prediction)
        if reference is None:
            self.reference_box.suggest(self._reference)
        else:
            self.reference_box.choose(reference)

    def compare(self) -> None:
        """Start the comparison; ``compared`` tells when it is done."""
        self._tell_error(None)
        try:
            prediction, reference = self._chosen_volumes()
        except MedContextError as error:
            self._tell_error(error)
            self.compared.emit()
            return
        meaning = _Meaning.of(self.prediction_box.layer, self.reference_box.layer)
        self._shown_as = (self.prediction_box if meaning.regions else self.reference_box).layer
        self._asked = f"“{prediction.name}” against “{reference.name}”{meaning.text}"
        self.compare_button.setEnabled(False)
        self.compare_button.setText("Comparing…")
        create_worker(
            _evaluate,
            [prediction, reference],
            meaning,
            _connect={"returned": self._finish},
            _progress={"desc": "Comparing labels"},
        )

    def copy(self) -> None:
        """Put the table on the clipboard, separated by tabs."""
        QApplication.clipboard().setText(scores_to_text(self.scores))

    def save(self, path: Path) -> None:
        """Write the table as CSV."""
        self._tell_error(None)
        try:
            write_scores(path, self.scores)
        except MedContextError as error:
            self._tell_error(error)

    def _build(self) -> None:
        self.prediction_box = LabelsBox(
            "compare_prediction", "Labels that a network (or another person) made."
        )
        self.reference_box = LabelsBox(
            "compare_reference", "Labels that are taken as the truth; on the same scan."
        )
        self.compare_button = button(
            "compare_button",
            "Compare",
            "Measure how well the two agree, class by class.",
            self.compare,
        )
        self.table = ScoreTable()
        self.summary = label("compare_summary", _HINT)
        self.caption = label("compare_caption")
        self.error = label("compare_error")
        self.error.setStyleSheet("color: #e0533d;")
        self.error.hide()
        self.copy_button = button(
            "compare_copy", "Copy", "Copy the table, to paste it into a spreadsheet.", self.copy
        )
        self.save_button = button(
            "compare_save", "Save CSV…", "Save the table as a CSV file.", self._ask_and_save
        )
        self._offer_table(False)
        self._lay_out()

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.addRow("Prediction", self.prediction_box)
        form.addRow("Reference", self.reference_box)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.compare_button)
        layout.addWidget(self.error)
        layout.addWidget(self.table, stretch=1)
        layout.addWidget(self.summary)
        layout.addWidget(self.caption)
        layout.addLayout(row(self.copy_button, self.save_button, None))

    def _follow_layers(self) -> None:
        if not isalive(self):
            return
        layers = [layer for layer in self._viewer.layers if isinstance(layer, Labels)]
        for box in (self.prediction_box, self.reference_box):
            box.show_layers(layers)
        self.prediction_box.suggest(newest_prediction)
        self.reference_box.suggest(self._reference)

    def _reference(self, layers: list[Labels]) -> Labels | None:
        return fitting_reference(self.prediction_box.layer, layers)

    def _chosen_volumes(self) -> tuple[Volume, Volume]:
        prediction, reference = self.prediction_box.layer, self.reference_box.layer
        if prediction is None or reference is None:
            which = "prediction" if prediction is None else "reference"
            raise ScanError(
                f"No {which} is chosen. Open or predict labels, then choose them as {which}."
            )
        if prediction is reference:
            raise ScanError(
                f"“{prediction.name}” is chosen as prediction and as reference. "
                "Choose two different label layers."
            )
        layers = list(self._viewer.layers)
        return layer_to_volume(prediction, layers), layer_to_volume(reference, layers)

    def _finish(self, outcome: _Outcome) -> None:
        if not isalive(self):
            return
        layer, self._shown_as = self._shown_as, None
        self.compare_button.setText("Compare")
        self.compare_button.setEnabled(True)
        if outcome.error is None:
            self._show(outcome.scores, layer)
        else:
            self._tell_error(outcome.error)
        self.compared.emit()

    def _show(self, scores: list[ClassScore], layer: Labels) -> None:
        self.scores = scores
        self.table.show_scores(scores, layer)
        self.summary.setText(f"<b>{summarise(scores).text}</b>")
        self.caption.setText(self._asked)
        self._offer_table(bool(scores))

    def _offer_table(self, on: bool) -> None:
        self.copy_button.setEnabled(on)
        self.save_button.setEnabled(on)

    def _ask_and_save(self) -> None:
        name = f"{self.scores[0].case} scores.csv"
        path, _ = QFileDialog.getSaveFileName(self, "Save the scores", name, "CSV (*.csv)")
        if path:
            self.save(Path(path) if Path(path).suffix else Path(f"{path}.csv"))

    def _tell_error(self, error: MedContextError | None) -> None:
        self.error.setText(str(error) if error else "")
        self.error.setVisible(error is not None)
        if error is not None:
            show_error(str(error))


@dataclass(frozen=True)
class _Meaning:
    """What the ids stand for, as the run that predicted noted it."""

    regions: Mapping[str, Sequence[int]] = field(default_factory=dict)
    unknown_id: int | None = None

    @classmethod
    def of(cls, prediction: Labels, reference: Labels) -> _Meaning:
        noted, other = scan_metadata(prediction) or {}, scan_metadata(reference) or {}
        # Two predictions of regions hold the same numbers, which exclude each other.
        regions = {} if other.get("regions") else noted.get("regions", {})
        return cls(regions, noted.get("unknown_id"))

    @property
    def text(self) -> str:
        made_of = [f"{name} = {', '.join(map(str, ids))}" for name, ids in self.regions.items()]
        said = f"; regions by class ids: {'; '.join(made_of)}" if made_of else ""
        return said + ("" if self.unknown_id is None else f"; id {self.unknown_id} is unknown")


@dataclass(frozen=True)
class _Outcome:
    """What a worker hands back; a bare exception as its result would be raised there."""

    scores: list[ClassScore] = field(default_factory=list)
    error: MedContextError | None = None


def _evaluate(volumes: list[Volume], meaning: _Meaning) -> _Outcome:
    """Score in a worker, which must hand back its errors and forget its arrays.

    napari keeps workers, and so their arguments, until its window closes; an exception
    that leaves one is lost or trips napari itself.
    """
    reference, prediction = volumes.pop(), volumes.pop()
    try:
        scores = evaluate_volumes(
            prediction,
            reference,
            case=prediction.name,
            regions=meaning.regions,
            ignore_label=meaning.unknown_id,
        )
        return _Outcome(scores)
    except MedContextError as error:
        return _Outcome(error=error)
    except Exception as error:
        logging.getLogger(__name__).exception("comparing labels failed")
        message = f"The comparison failed ({error}). The terminal has the details."
        return _Outcome(error=MedContextError(message))
