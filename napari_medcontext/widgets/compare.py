"""The Compare dock: a prediction against its reference, class by class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from napari.layers import Labels
from napari.qt.threading import create_worker
from napari.utils.notifications import show_error
from napari.viewer import Viewer
from qtpy.compat import isalive
from qtpy.QtCore import QSize, Signal
from qtpy.QtWidgets import (
    QApplication,
    QFileDialog,
    QVBoxLayout,
    QWidget,
)

from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.scores import ClassScore, scores_to_text, write_scores
from napari_medcontext.layer_volumes import layer_to_volume
from napari_medcontext.widgets.cleaning_box import CleaningBox
from napari_medcontext.widgets.compare_choice import CompareChoice
from napari_medcontext.widgets.comparison import Meaning, Outcome, evaluated
from napari_medcontext.widgets.error_view import ErrorView
from napari_medcontext.widgets.figure import canvas_figure, save_figure
from napari_medcontext.widgets.halves import Halves
from napari_medcontext.widgets.parts import Text, button, row
from napari_medcontext.widgets.score_table import ScoreTable, class_swatch, summary_text
from napari_medcontext.widgets.scoring_choice import ScoringChoice
from napari_medcontext.widgets.session import real_viewer

_HINT = (
    "Choose a prediction and the labels that it should match, then press Compare. A press on a row "
    "of the table then shows where that class is wrong."
)
OUTDATED = "A layer of it was removed since: press Compare again to see errors."
_SIZE = QSize(600, 820)


class CompareDock(QWidget):
    """Score predictions against a reference, all of them Labels layers, and show the errors.

    Parameters
    ----------
    napari_viewer
        The viewer whose layers are compared.

    Attributes
    ----------
    scores
        What the last comparison found, the main prediction first; empty before the first.
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
        self._asked: _Asked | None = None
        self._compared: _Asked | None = None
        self._build()

    def sizeHint(self) -> QSize:
        """Return the size at which every column can be read."""
        return _SIZE

    def choose(self, prediction: Labels, reference: Labels | None = None) -> None:
        """Select what to compare, as a user would; without a reference, one that fits."""
        self.choice.choose(prediction, reference)

    def compare(self) -> None:
        """Start the comparison; ``compared`` tells when it is done."""
        self._tell_error("")
        layers = list(self._viewer.layers)
        try:
            predictions, reference = self.choice.chosen()
            volumes = [layer_to_volume(layer, layers) for layer in (*predictions, reference)]
        except MedContextError as error:
            self._tell_error(str(error))
            self.compared.emit()
            return
        meanings = [Meaning.of(layer, reference) for layer in predictions]
        choice = self.scoring.choice()
        names = " and ".join(f"“{layer.name}”" for layer in predictions)
        self._asked = _Asked(
            {layer.name: layer for layer in predictions},
            reference,
            predictions[0] if meanings[0].regions else reference,
            f"{names} against “{reference.name}”{meanings[0].text}. {choice.definitions.text}",
        )
        self.compare_button.setEnabled(False)
        self.compare_button.setText("Comparing…")
        create_worker(
            evaluated,
            list(zip(volumes[:-1], meanings, strict=True)),
            volumes[-1:],
            choice,
            _connect={"returned": self._finish},
            _progress={"desc": "Comparing labels"},
        )

    def copy(self) -> None:
        """Put the table on the clipboard, separated by tabs."""
        QApplication.clipboard().setText(scores_to_text(self.scores))

    def save(self, path: Path) -> None:
        """Write the table as CSV."""
        self._tell_error("")
        try:
            write_scores(path, self.scores)
        except MedContextError as error:
            self._tell_error(str(error))

    def save_picture(self, path: Path) -> None:
        """Write what the main canvas shows as PNG, with what is needed to read it."""
        self._tell_error("")
        canvas = self._viewer.window._qt_viewer
        legend, caption = self.errors.explained()
        if not legend:
            classes = {score.class_name: score.class_id for score in self.scores}
            coloured = self._compared.coloured if self._compared else None
            legend = [(name, class_swatch(coloured, k)) for name, k in classes.items() if coloured]
        try:
            save_figure(canvas_figure(canvas, legend, f"{caption}{self.caption.text()}"), path)
        except MedContextError as error:
            self._tell_error(str(error))

    def _build(self) -> None:
        self.choice = CompareChoice(self._viewer)
        self.choice.layers_changed.connect(self._follow_layers)
        self.prediction_box = self.choice.prediction_box
        self.reference_box = self.choice.reference_box
        self.scoring = ScoringChoice()
        self.cleaning = CleaningBox(self._viewer, self.choice)
        self.cleaning.done.connect(self._compare_cleaned)
        self.cleaning.failed.connect(self._tell_error)
        self.compare_button = button(
            "compare_button",
            "Compare",
            "Measure how well the two agree, class by class.",
            self.compare,
        )
        self.table = ScoreTable()
        self.table.row_chosen.connect(self._show_errors)
        self.summary = Text("compare_summary", _HINT)
        self.caption = Text("compare_caption")
        self.error = Text("compare_error")
        self.error.setStyleSheet("color: #e0533d;")
        self.error.hide()
        self.errors = ErrorView(self._viewer)
        self.errors.failed.connect(self._tell_error)
        self.all_button = button(
            "compare_all", "All errors", "Show where any class is wrong.", self._show_all_errors
        )
        self.copy_button = button(
            "compare_copy", "Copy", "Copy the table, to paste it into a spreadsheet.", self.copy
        )
        self.save_button = button(
            "compare_save", "Save CSV…", "Save the table as a CSV file.", self._ask_and_save
        )
        self.picture_button = button(
            "compare_picture",
            "Save picture…",
            "Save what the main window shows as a PNG, with legend, scale bar and slice.",
            self._ask_and_save_picture,
        )
        self._offer_table(False)
        self._lay_out()

    def _lay_out(self) -> None:
        scores = QWidget()
        layout = QVBoxLayout(scores)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.choice)
        layout.addWidget(self.scoring)
        layout.addWidget(self.cleaning)
        layout.addWidget(self.compare_button)
        layout.addWidget(self.error)
        layout.addWidget(self.table)
        layout.addWidget(self.summary)
        layout.addWidget(self.caption)
        buttons = self.copy_button, self.save_button, self.picture_button, self.all_button
        layout.addLayout(row(*buttons, None))
        layout.addStretch()
        halves = Halves(scores, self.errors)
        self.errors.shown.connect(halves.open_lower)
        QVBoxLayout(self).addWidget(halves)

    def _compare_cleaned(self, layer: Labels) -> None:
        self.choice.others.tick(layer)
        self.compare()

    def _follow_layers(self) -> None:
        """Drop what was found as soon as a layer of it is gone."""
        if self._compared is not None and not self._compared.all_in(list(self._viewer.layers)):
            self._compared = None
            self.errors.forget()
            self.all_button.setEnabled(False)
            self.caption.setText(f"{self.caption.text()} {OUTDATED}")

    def _finish(self, outcome: Outcome) -> None:
        if not isalive(self):
            return
        asked, self._asked = self._asked, None
        self.compare_button.setText("Compare")
        self.compare_button.setEnabled(True)
        if outcome.error is not None:
            self._tell_error(str(outcome.error))
        elif asked is not None:
            self._show(outcome.scores, asked)
        self.compared.emit()

    def _show(self, scores: list[ClassScore], asked: _Asked) -> None:
        self.scores = scores
        self._compared = asked
        self.errors.forget()
        self.table.show_scores(scores, asked.coloured)
        self.summary.setText(summary_text(scores))
        self.caption.setText(asked.text)
        self._offer_table(bool(scores))
        self._follow_layers()

    def _show_errors(self, score: ClassScore) -> None:
        """Show where one class of one prediction is wrong."""
        if self._compared is not None:
            layer = self._compared.predictions[score.case]
            self.errors.look_at(layer, self._compared.reference, score.class_id, score.class_name)

    def _show_all_errors(self) -> None:
        if self._compared is not None:
            first = next(iter(self._compared.predictions.values()))
            self.errors.look_at(first, self._compared.reference)

    def _offer_table(self, on: bool) -> None:
        for control in (self.copy_button, self.save_button, self.all_button):
            control.setEnabled(on)

    def _ask_and_save(self) -> None:
        name = f"{self.scores[0].case} scores.csv"
        path, _ = QFileDialog.getSaveFileName(self, "Save the scores", name, "CSV (*.csv)")
        if path:
            self.save(Path(path) if Path(path).suffix else Path(f"{path}.csv"))

    def _ask_and_save_picture(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save the picture", "comparison.png", "PNG (*.png)"
        )
        if path:
            self.save_picture(Path(path).with_suffix(".png"))

    def _tell_error(self, message: str) -> None:
        self.error.setText(message)
        self.error.setVisible(bool(message))
        if message:
            show_error(message)


@dataclass(frozen=True)
class _Asked:
    """The layers of a comparison, the one whose colours its classes have, and what it is.

    ``predictions`` go by the names that they had when they were compared, as their scores do.
    """

    predictions: Mapping[str, Labels]
    reference: Labels
    coloured: Labels
    text: str

    def all_in(self, layers: list[Labels]) -> bool:
        return all(layer in layers for layer in (*self.predictions.values(), self.reference))
