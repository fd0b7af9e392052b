"""A number for each slice as a curve; a click goes to that slice."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

COLOUR = "#E69F00"
MARK_COLOUR = "#56B4E9"
HEIGHT = 150
DIRECTIONS = {"x": "left to right", "y": "posterior to anterior", "z": "inferior to superior"}


class SliceCurve(QWidget):
    """A curve over the slices of a volume.

    Parameters
    ----------
    name
        The plot's own.
    what
        What the numbers are.
    """

    chosen = Signal(int)
    """The slice that was clicked, counted from 0."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__()
        self.setToolTip(f"The {what} of each slice. A click goes to that slice.")
        self.plot = pg.PlotWidget(background=None)
        self.plot.setObjectName(name)
        self.plot.setLabel("left", what)
        self.plot.setMouseEnabled(x=False, y=False)
        self.plot.setMenuEnabled(False)
        self.plot.showGrid(x=True, y=True, alpha=0.2)
        self.plot.setFixedHeight(HEIGHT)
        self._line = self.plot.plot(pen=pg.mkPen(COLOUR, width=2))
        self._mark = pg.InfiniteLine(angle=90, pen=pg.mkPen(MARK_COLOUR, width=2))
        self._mark.setVisible(False)
        self.plot.addItem(self._mark)
        self._count = 0
        self.plot.scene().sigMouseClicked.connect(self._click)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)

    def show_values(self, values: npt.NDArray[Any], axis: str) -> None:
        """Show one number for each slice along ``"x"``, ``"y"`` or ``"z"``."""
        self._count = len(values)
        self.plot.setLabel("bottom", f"slice, {DIRECTIONS[axis]}")
        self._line.setData(np.arange(1, self._count + 1), values)
        self._mark.setVisible(False)

    def mark(self, index: int) -> None:
        """Show which slice is in sight, counted from 0."""
        self._mark.setPos(index + 1)
        self._mark.setVisible(True)

    def _click(self, event: Any) -> None:
        if not self._count:
            return
        place = self.plot.getPlotItem().vb.mapSceneToView(event.scenePos()).x()
        self.chosen.emit(int(np.clip(round(place) - 1, 0, self._count - 1)))
