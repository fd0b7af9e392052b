"""The table of scores: a row for each class, sorted by whichever column is pressed."""

from __future__ import annotations

import math

from napari.layers import Labels
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_medcontext.core.metrics import METRICS
from napari_medcontext.core.scores import ClassScore

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


class ScoreTable(QTableWidget):
    """Scores by class, in the metrics' own digits."""

    def __init__(self) -> None:
        super().__init__(0, len(_COLUMNS))
        self.setObjectName("compare_table")
        for column, (title, tip) in enumerate(_COLUMNS.values()):
            item = QTableWidgetItem(title)
            item.setToolTip(tip)
            self.setHorizontalHeaderItem(column, item)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW_HEIGHT)
        self.setWordWrap(False)
        self.setIconSize(_SWATCH)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        self.setSortingEnabled(True)
        self.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column, name in enumerate(_COLUMNS):
            widest = _STATUS["absent"][0] if name == "status" else "0000.0"
            width = self.fontMetrics().horizontalAdvance(widest) + _CELL_MARGIN
            self.setColumnWidth(column, width)
        self.sortItems(-1)

    def show_scores(self, scores: list[ClassScore], layer: Labels) -> None:
        """Show these scores instead, with the colours of this layer's classes."""
        self.setSortingEnabled(False)
        self.setRowCount(len(scores))
        for row, score in enumerate(scores):
            for column, name in enumerate(_COLUMNS):
                self.setItem(row, column, _item(score, name, layer))
        self.setSortingEnabled(True)


class _NumberItem(QTableWidgetItem):
    """A number in its column's digits, sorted by value; what is not measurable comes last."""

    def __init__(self, value: float, decimals: int) -> None:
        super().__init__("–" if math.isnan(value) else f"{value:.{decimals}f}")
        self._key = math.inf if math.isnan(value) else value
        self.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)

    def __lt__(self, other: QTableWidgetItem) -> bool:
        return self._key < other._key if isinstance(other, _NumberItem) else True


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
