"""The table of scores: a row for each class, sorted by whichever column is pressed."""

from __future__ import annotations

import math
from html import escape

from napari.layers import Labels
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
)

from napari_medcontext.core.metrics import METRICS
from napari_medcontext.core.scores import ClassScore, summarise

_STATUS = {
    "found": ("found", "The class is in the prediction and in the reference."),
    "missed": ("missed", "The class is in the reference, but the prediction has none of it."),
    "invented": ("invented", "The class is in the prediction, but not in the reference."),
    "absent": ("in neither", "The class has a name, but neither holds it; it does not count."),
}
_METRIC_TIPS = {
    "dsc": "Dice similarity: 0 is no overlap, 1 is the same. A missed class counts as 0.",
    "hd95_mm": "95th percentile of the distance between both surfaces, as “Scoring” defines it. "
    "Only a class that is in both can be measured.",
    "assd_mm": "Average symmetric surface distance: the mean distance between both surfaces.",
    "nsd": "Normalised surface Dice: the share of both surfaces that agrees, as “Scoring” defines "
    "it. A missed class counts as 0.",
}
_COLUMNS = {
    "class_name": ("Class", "Name and colour, as the reference layer shows it."),
    "case": ("Prediction", "Whose score it is, where several predictions are compared."),
    "gain": ("First\nbetter", "How much higher the first prediction's DSC is than this one's."),
    **{
        name: (f"{metric.title}\n{metric.unit}".strip(), _METRIC_TIPS.get(name, ""))
        for name, metric in METRICS.items()
    },
    "prediction_ml": ("Pred.\nml", "Volume of the class in the prediction, in millilitres."),
    "reference_ml": ("Ref.\nml", "Volume of the class in the reference, in millilitres."),
    "difference_ml": ("Diff.\nml", "How much larger the prediction is than the reference."),
    "status": ("Status", "Whether the class was found, missed or invented."),
}
_OF_SEVERAL = ("case", "gain")
"""Columns that are shown where several predictions are compared."""
_VOLUME_DECIMALS = 1
_SWATCH = QSize(14, 14)
_ROW_HEIGHT = 24
_LEAST_ROWS = 3
_CELL_MARGIN = 16


class ScoreTable(QTableWidget):
    """Scores by class, in the metrics' own digits."""

    row_chosen = Signal(object)
    """The ``ClassScore`` of the row that the user chose, by mouse or keyboard."""

    def __init__(self) -> None:
        super().__init__(0, len(_COLUMNS))
        self.setObjectName("compare_table")
        self._scores: list[ClassScore] = []
        for column, (title, tip) in enumerate(_COLUMNS.values()):
            item = QTableWidgetItem(title)
            item.setToolTip(tip)
            self.setHorizontalHeaderItem(column, item)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW_HEIGHT)
        self.setWordWrap(False)
        self.setIconSize(_SWATCH)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        self.setSortingEnabled(True)
        self.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column, name in enumerate(_COLUMNS):
            widest = _STATUS["absent"][0] if name == "status" else "0000.0"
            width = self.fontMetrics().horizontalAdvance(widest) + _CELL_MARGIN
            self.setColumnWidth(column, width)
        self.sortItems(-1)
        self._tell_several(False)
        self.itemSelectionChanged.connect(self._tell_choice)
        # As high as its rows: what is free below them is for the errors.
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Maximum)

    def sizeHint(self) -> QSize:  # Qt's own name
        """Return a size with room for all rows."""
        hint = super().sizeHint()
        header, bar = self.horizontalHeader().sizeHint(), self.horizontalScrollBar().sizeHint()
        rows = max(self.verticalHeader().length(), _LEAST_ROWS * _ROW_HEIGHT)
        hint.setHeight(header.height() + rows + bar.height() + 2 * self.frameWidth())
        return hint

    def show_scores(self, scores: list[ClassScore], layer: Labels) -> None:
        """Show these scores instead, with the colours of this layer's classes.

        Those of the first prediction come first; others are held against them.
        """
        self._scores = scores
        first = {score.class_id: score for score in scores if score.case == scores[0].case}
        self.setSortingEnabled(False)
        self.clearSelection()
        self.setRowCount(len(scores))
        for row, score in enumerate(scores):
            for column, name in enumerate(_COLUMNS):
                item = _item(score, first.get(score.class_id), name, layer)
                item.setData(Qt.ItemDataRole.UserRole, row)
                self.setItem(row, column, item)
        self._tell_several(len({score.case for score in scores}) > 1)
        self.setSortingEnabled(True)
        self.updateGeometry()

    def _tell_several(self, several: bool) -> None:
        for column, name in enumerate(_COLUMNS):
            if name in _OF_SEVERAL:
                self.setColumnHidden(column, not several)

    def _tell_choice(self) -> None:
        chosen = self.selectedItems()
        if chosen:
            self.row_chosen.emit(self._scores[chosen[0].data(Qt.ItemDataRole.UserRole)])


def summary_text(scores: list[ClassScore]) -> str:
    """Return the means of each prediction in a line, and by how much the first is better."""
    by_case: dict[str, list[ClassScore]] = {}
    for score in scores:
        by_case.setdefault(score.case, []).append(score)
    means = {case: summarise(of_case) for case, of_case in by_case.items()}
    if len(means) < 2:
        return f"<b>{summarise(scores).text}</b>"
    first = next(iter(means.values())).mean_dsc
    lines = [
        f"<b>{escape(case)}</b>: {summary.text}"
        + (f"; the first is better by {first - summary.mean_dsc:+.3f}" if index else "")
        for index, (case, summary) in enumerate(means.items())
    ]
    return "<br>".join(lines)


class _NumberItem(QTableWidgetItem):
    """A number in its column's digits, sorted by value; what is not measurable comes last."""

    def __init__(self, value: float, decimals: int, *, sign: bool = False) -> None:
        plus = "+" if sign else ""
        super().__init__("–" if math.isnan(value) else f"{value:{plus}.{decimals}f}")
        self._key = math.inf if math.isnan(value) else value
        self.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)

    def __lt__(self, other: QTableWidgetItem) -> bool:
        return self._key < other._key if isinstance(other, _NumberItem) else True


def _item(
    score: ClassScore, first: ClassScore | None, column: str, layer: Labels
) -> QTableWidgetItem:
    if column == "gain":
        gain = math.nan if first in (None, score) else first.dsc - score.dsc
        return _NumberItem(gain, METRICS["dsc"].decimals, sign=True)
    value = getattr(score, column)
    if column == "case":
        return QTableWidgetItem(value)
    if column == "difference_ml":
        return _NumberItem(value, _VOLUME_DECIMALS, sign=True)
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
    pixmap.fill(class_swatch(layer, class_id))
    return QIcon(pixmap)


def class_swatch(layer: Labels, class_id: int) -> QColor:
    """Return the colour of a class in a layer."""
    return QColor.fromRgbF(*(float(part) for part in layer.colormap.map(class_id)))
