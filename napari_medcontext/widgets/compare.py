"""The Compare dock: a prediction against its reference, class by class."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from napari.layers import Labels
from napari.qt.threading import create_worker
from napari.utils.notifications import show_error
from napari.viewer import Viewer
from qtpy.compat import isalive
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_medcontext.core.errors import MedContextError, ScanError
from napari_medcontext.core.evaluation import (
    ClassScore,
    evaluate_volumes,
    scores_to_text,
    summarise,
    write_scores,
)
from napari_medcontext.core.metrics import METRICS
from napari_medcontext.core.volume import Volume
from napari_medcontext.layers import layer_to_volume
from napari_medcontext.widgets.session import real_viewer

_HINT = "Choose a prediction and the labels that it should match, then press Compare."
_STATUS = {
    "found": ("found", "The class is in the prediction and in the reference."),
    "missed": ("missed", "The class is in the reference, but the prediction has none of it."),
    "invented": ("invented", "The class is in the prediction, but not in the reference."),
    "absent": ("in neither", "The class has a name, but neither holds it; it does not count."),
}
_METRIC_TIPS = {
    "dsc": "Dice similarity: 0 is no overlap, 1 is the same. A missed class counts as 0.",
    "hd95_mm": "95th percentile of the distance between both surfaces. Only a class that is in "
    "both can be measured.",
}
_COLUMNS = {
    "class_name": ("Class", "Name and colour, as the reference layer shows it."),
    **{
        name: (f"{metric.title}\n{metric.unit}".strip(), _METRIC_TIPS.get(name, ""))
        for name, metric in METRICS.items()
    },
    "prediction_ml": ("Pred.\nml", "Volume of the class in the prediction, in millilitres."),
    "reference_ml": ("Ref.\nml", "Volume of the class in the reference, in millilitres."),
    "status": ("Status", "Whether the class was found, missed or invented."),
}
_VOLUME_DECIMALS = 1
_SWATCH = QSize(14, 14)
_ROW_HEIGHT = 24
_CELL_MARGIN = 16
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
        self._shown_as = self.reference_box.layer
        self._asked = f"“{prediction.name}” against “{reference.name}”"
        self.compare_button.setEnabled(False)
        self.compare_button.setText("Comparing…")
        create_worker(
            _evaluate,
            [prediction, reference],
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
        self.compare_button = _button(
            "compare_button",
            "Compare",
            "Measure how well the two agree, class by class.",
            self.compare,
        )
        self.table = _table()
        self.summary = _text("compare_summary", _HINT)
        self.caption = _text("compare_caption")
        self.error = _text("compare_error")
        self.error.setStyleSheet("color: #e0533d;")
        self.error.hide()
        self.copy_button = _button(
            "compare_copy", "Copy", "Copy the table, to paste it into a spreadsheet.", self.copy
        )
        self.save_button = _button(
            "compare_save", "Save CSV…", "Save the table as a CSV file.", self._ask_and_save
        )
        for button in (self.copy_button, self.save_button):
            button.setEnabled(False)
        self._lay_out()

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.addRow("Prediction", self.prediction_box)
        form.addRow("Reference", self.reference_box)
        buttons = QHBoxLayout()
        buttons.addWidget(self.copy_button)
        buttons.addWidget(self.save_button)
        buttons.addStretch()
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.compare_button)
        layout.addWidget(self.error)
        layout.addWidget(self.table, stretch=1)
        layout.addWidget(self.summary)
        layout.addWidget(self.caption)
        layout.addLayout(buttons)

    def _follow_layers(self) -> None:
        if not isalive(self):
            return
        layers = [layer for layer in self._viewer.layers if isinstance(layer, Labels)]
        for box in (self.prediction_box, self.reference_box):
            box.show_layers(layers)
        self.prediction_box.suggest(_newest_prediction)
        self.reference_box.suggest(self._reference)

    def _reference(self, layers: list[Labels]) -> Labels | None:
        return _fitting_reference(self.prediction_box.layer, layers)

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
        _fill(self.table, scores, layer)
        self.summary.setText(f"<b>{summarise(scores).text}</b>")
        self.caption.setText(self._asked)
        for button in (self.copy_button, self.save_button):
            button.setEnabled(bool(scores))

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


class LabelsBox(QComboBox):
    """A choice among Labels layers that holds on to the layer itself.

    It follows the layer list: a renamed or moved layer stays chosen, and a removed one is
    shown as removed, with no other in its place.
    """

    def __init__(self, name: str, tip: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setToolTip(tip)
        self.setSizeAdjustPolicy(self.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(12)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._layers: list[Labels] = []
        self._settled = False
        self.show_layers([])
        self.activated.connect(self._settle)

    @property
    def layer(self) -> Labels | None:
        """The chosen layer, if any."""
        index = self.currentIndex()
        return self._layers[index] if index >= 0 else None

    def show_layers(self, layers: list[Labels]) -> None:
        """Offer these layers and keep the chosen one, if it is still among them."""
        chosen = self.layer
        self._layers = layers
        self.clear()
        self.addItems([layer.name for layer in layers])
        self._select(chosen)
        if chosen is not None and self.layer is None:
            self.setPlaceholderText(f"“{chosen.name}” was removed")
            self._settled = True
        if not layers:
            self.setPlaceholderText("no labels are open")
            self._settled = False
        elif not self._settled:
            self.setPlaceholderText("choose labels")

    def choose(self, layer: Labels) -> None:
        """Select a layer, so that no suggestion replaces it."""
        self._select(layer)
        self._settle()

    def suggest(self, pick: Callable[[list[Labels]], Labels | None]) -> None:
        """Select what ``pick`` takes from the layers, unless a choice was made."""
        if not self._settled:
            self._select(pick(self._layers))

    def _select(self, layer: Labels | None) -> None:
        rows = [row for row, known in enumerate(self._layers) if known is layer]
        self.setCurrentIndex(rows[0] if rows else -1)

    def _settle(self) -> None:
        self._settled = True


class _NumberItem(QTableWidgetItem):
    """A number in its column's digits, sorted by value; what is not measurable comes last."""

    def __init__(self, value: float, decimals: int) -> None:
        super().__init__("–" if math.isnan(value) else f"{value:.{decimals}f}")
        self._key = math.inf if math.isnan(value) else value
        self.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)

    def __lt__(self, other: QTableWidgetItem) -> bool:
        return self._key < other._key if isinstance(other, _NumberItem) else True


@dataclass(frozen=True)
class _Outcome:
    """What a worker hands back; a bare exception as its result would be raised there."""

    scores: list[ClassScore] = field(default_factory=list)
    error: MedContextError | None = None


def _evaluate(volumes: list[Volume]) -> _Outcome:
    """Score in a worker, which must hand back its errors and forget its arrays.

    napari keeps workers, and so their arguments, until its window closes; an exception
    that leaves one is lost or trips napari itself.
    """
    reference, prediction = volumes.pop(), volumes.pop()
    try:
        return _Outcome(evaluate_volumes(prediction, reference, case=prediction.name))
    except MedContextError as error:
        return _Outcome(error=error)
    except Exception as error:
        logging.getLogger(__name__).exception("comparing labels failed")
        message = f"The comparison failed ({error}). The terminal has the details."
        return _Outcome(error=MedContextError(message))


def _newest_prediction(layers: list[Labels]) -> Labels | None:
    predictions = [layer for layer in layers if _is_prediction(layer)]
    if predictions:
        return predictions[-1]
    return layers[-1] if len(layers) > 1 else None


def _fitting_reference(prediction: Labels | None, layers: list[Labels]) -> Labels | None:
    if prediction is None:
        return None
    fitting = [
        layer for layer in layers if layer is not prediction and _overlies(layer, prediction)
    ]
    return min(fitting, key=_is_prediction, default=None)


def _is_prediction(layer: Labels) -> bool:
    return "prediction_of" in layer.metadata.get("medcontext", {})


def _overlies(first: Labels, second: Labels) -> bool:
    return first.data.shape == second.data.shape and np.allclose(
        first.extent.world, second.extent.world, atol=0.05 * float(np.min(np.abs(second.scale)))
    )


def _table() -> QTableWidget:
    table = QTableWidget(0, len(_COLUMNS))
    table.setObjectName("compare_table")
    for column, (title, tip) in enumerate(_COLUMNS.values()):
        item = QTableWidgetItem(title)
        item.setToolTip(tip)
        table.setHorizontalHeaderItem(column, item)
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(_ROW_HEIGHT)
    table.setWordWrap(False)
    table.setIconSize(_SWATCH)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setTabKeyNavigation(False)
    table.setSortingEnabled(True)
    table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
    for column, name in enumerate(_COLUMNS):
        widest = _STATUS["absent"][0] if name == "status" else "0000.0"
        table.setColumnWidth(column, table.fontMetrics().horizontalAdvance(widest) + _CELL_MARGIN)
    table.sortItems(-1)
    return table


def _fill(table: QTableWidget, scores: list[ClassScore], layer: Labels) -> None:
    table.setSortingEnabled(False)
    table.setRowCount(len(scores))
    for row, score in enumerate(scores):
        for column, name in enumerate(_COLUMNS):
            table.setItem(row, column, _item(score, name, layer))
    table.setSortingEnabled(True)


def _item(score: ClassScore, column: str, layer: Labels) -> QTableWidgetItem:
    value = getattr(score, column)
    if column in METRICS:
        return _NumberItem(value, METRICS[column].decimals)
    if isinstance(value, float):
        return _NumberItem(value, _VOLUME_DECIMALS)
    if column == "status":
        text, tip = _STATUS[value]
        item = QTableWidgetItem(text)
        item.setToolTip(tip)
        _embolden(item, value in ("missed", "invented"))
        return item
    item = QTableWidgetItem(_swatch(layer, score.class_id), value)
    item.setToolTip(f"{value}, class id {score.class_id}")
    return item


def _embolden(item: QTableWidgetItem, bold: bool) -> None:
    font = item.font()
    font.setBold(bold)
    item.setFont(font)


def _swatch(layer: Labels, class_id: int) -> QIcon:
    """Return the class's colour as the layer shows it, whichever label is selected there."""
    pixmap = QPixmap(_SWATCH)
    pixmap.fill(QColor.fromRgbF(*(float(part) for part in layer.colormap.map(class_id))))
    return QIcon(pixmap)


def _button(name: str, text: str, tip: str, action: Callable[[], None]) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName(name)
    button.setToolTip(tip)
    button.clicked.connect(lambda _: action())
    return button


def _text(name: str, text: str = "") -> QLabel:
    label = QLabel(text)
    label.setObjectName(name)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label
