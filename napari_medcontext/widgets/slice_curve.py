"""A curve with a value for each slice, in which a click goes to that slice."""

from __future__ import annotations

from collections.abc import Sequence

import pyqtgraph as pg
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent

CURVE_COLOUR = "#CC79A7"
HERE_COLOUR = "#999999"


class SliceCurve(pg.PlotWidget):
    """Plot a value against the slice; gaps where there is none.

    A click, or an arrow key, asks for a slice. A line shows which one is looked at.

    Parameters
    ----------
    name
        Object name.
    title
        What is plotted.
    tip
        Tooltip.
    first
        The number that the first slice goes by.
    """

    slice_asked = Signal(int)
    """Index from 0 of the slice that was clicked."""

    def __init__(self, name: str, title: str, tip: str, first: int = 0) -> None:
        super().__init__(background=None)
        self.setObjectName(name)
        self.setToolTip(f"{tip} A click, or an arrow key, goes to that slice.")
        self.setLabel("left", title)
        # Shares below 1 read as they are, not as thousandths.
        self.getAxis("left").enableAutoSIPrefix(False)
        self.showGrid(x=True, y=True, alpha=0.2)
        self.setMinimumHeight(120)
        self.setMouseEnabled(x=False, y=False)
        self.setMenuEnabled(False)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._first = first
        self._values: Sequence[float] = ()
        self._curve = self.plot(
            pen=pg.mkPen(CURVE_COLOUR, width=2), symbol="o", symbolSize=3, connect="finite"
        )
        self._here = pg.InfiniteLine(pen=pg.mkPen(HERE_COLOUR, width=1))
        self.addItem(self._here)
        self.scene().sigMouseClicked.connect(self._clicked)

    def show_values(self, values: Sequence[float], slices: str = "slice") -> None:
        """Plot these, one for each slice; ``nan`` is a gap, and ``slices`` names their axis."""
        self._values = values
        last = self._first + max(1, len(values) - 1)
        self._curve.setData(range(self._first, self._first + len(values)), list(values))
        self.setLabel("bottom", slices)
        self.setXRange(self._first, last)

    def show_slice(self, index: int) -> None:
        """Mark the slice that is looked at, by its index from 0."""
        self._here.setValue(index + self._first)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # Qt's own name
        """Go a slice on or back by the arrow keys."""
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(event.key())
        if step is None or not len(self._values):
            super().keyPressEvent(event)
            return
        self._ask(round(self._here.value()) - self._first + step)

    def _clicked(self, event: object) -> None:
        place = self.getPlotItem().vb.mapSceneToView(event.scenePos())  # type: ignore[attr-defined]
        self._ask(round(place.x()) - self._first)

    def _ask(self, index: int) -> None:
        if len(self._values):
            self.slice_asked.emit(min(max(index, 0), len(self._values) - 1))
