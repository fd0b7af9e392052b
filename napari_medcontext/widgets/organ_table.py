"""A table with a row for each organ: its colour and name, then numbers in their own digits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from napari.layers import Labels
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_medcontext.core.colours import class_colour

SWATCH = QSize(14, 14)
ROW_HEIGHT = 24
CELL_MARGIN = 16
MOST_ROWS_SHOWN = 9


@dataclass(frozen=True)
class Column:
    """A column of numbers: its title with the unit, what it means, and how many decimals."""

    title: str
    tip: str
    decimals: int


@dataclass(frozen=True)
class OrganRow:
    """A row: an organ's class id, what it is called, and a number for each column, or None."""

    class_id: int
    name: str
    values: Sequence[float | None]


class OrganTable(QTableWidget):
    """Numbers by organ, sorted by whichever column is pressed.

    Parameters
    ----------
    name
        The widget's own.
    columns
        What follows the organ's name.
    """

    def __init__(self, name: str, columns: Sequence[Column]) -> None:
        super().__init__(0, len(columns) + 1)
        self.setObjectName(name)
        self._columns = tuple(columns)
        self._head(0, "Organ", "Name and colour, as the labels layer shows it.")
        for place, column in enumerate(columns, start=1):
            self._head(place, column.title, column.tip)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        self.setWordWrap(False)
        self.setIconSize(SWATCH)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        self.setSortingEnabled(True)
        self.sortItems(-1)
        self.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        self._fit()

    def show_rows(self, rows: Sequence[OrganRow], layer: Labels | None = None) -> None:
        """Show these rows instead, with the colours that the organs have in a layer."""
        self.setSortingEnabled(False)
        self.setRowCount(len(rows))
        for place, row in enumerate(rows):
            head = QTableWidgetItem(_swatch(row.class_id, layer), row.name)
            head.setToolTip(f"{row.name}, class id {row.class_id}")
            self.setItem(place, 0, head)
            for at, (value, column) in enumerate(
                zip(row.values, self._columns, strict=True), start=1
            ):
                self.setItem(place, at, _NumberItem(value, column.decimals))
        self.setSortingEnabled(True)
        self._fit()

    def texts(self) -> list[list[str]]:
        """Return what stands in the cells, row by row as shown."""
        return [
            [self.item(row, column).text() for column in range(self.columnCount())]
            for row in range(self.rowCount())
        ]

    def _head(self, place: int, title: str, tip: str) -> None:
        item = QTableWidgetItem(title)
        item.setToolTip(tip)
        self.setHorizontalHeaderItem(place, item)
        lines = title.split("\n")
        if place:
            widest = max(self.fontMetrics().horizontalAdvance(line) for line in [*lines, "000.00"])
            self.setColumnWidth(place, widest + CELL_MARGIN)

    def _fit(self) -> None:
        """Be as high as the rows that there are, up to some; the dock scrolls around it."""
        rows = min(max(self.rowCount(), 1), MOST_ROWS_SHOWN)
        height = self.horizontalHeader().sizeHint().height() + rows * ROW_HEIGHT
        # Room for the scroll bar, needed or not: in a narrow dock it would lie on the last row.
        height += self.horizontalScrollBar().sizeHint().height()
        self.setFixedHeight(height + 2 * self.frameWidth() + 2)


class _NumberItem(QTableWidgetItem):
    """A number in its column's digits, sorted by value; what there is not comes last."""

    def __init__(self, value: float | None, decimals: int) -> None:
        known = value is not None and not math.isnan(value)
        super().__init__(f"{value:.{decimals}f}" if known else "–")
        self._key = value if known else math.inf
        self.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)

    def __lt__(self, other: QTableWidgetItem) -> bool:
        return self._key < other._key if isinstance(other, _NumberItem) else True


def _swatch(class_id: int, layer: Labels | None) -> QIcon:
    colour = class_colour(class_id) if layer is None else layer.colormap.map(class_id)
    pixmap = QPixmap(SWATCH)
    pixmap.fill(QColor.fromRgbF(*(float(part) for part in colour)))
    return QIcon(pixmap)
