"""The context probe as bars: an organ's Dice visible, hidden, and as its average shape."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pyqtgraph as pg
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_medcontext.core.probe import ProbeRow

# Okabe and Ito's colours, which the colour-blind can tell apart.
BARS = {
    "visible": ("visible", "#56B4E9"),
    "token": ("hidden by token", "#E69F00"),
    "mean": ("hidden by mean", "#009E73"),
    "noise": ("hidden by noise", "#CC79A7"),
    "average shape": ("average shape", "#999999"),
}
"""Condition of a row: what the legend calls it, and its colour."""
GROUP_WIDTH = 0.8
HEIGHT = 200


class ProbeBars(QWidget):
    """A group of bars for each organ, their height the Dice."""

    def __init__(self) -> None:
        super().__init__()
        self.setToolTip("Dice (0 to 1) of each organ, seen and hidden; the table has the numbers.")
        self.plot = pg.PlotWidget(background=None)
        self.plot.setObjectName("probe_bars")
        self.plot.setLabel("left", "DSC")
        self.plot.setYRange(0, 1, padding=0)
        self.plot.setMouseEnabled(x=False, y=False)
        self.plot.setMenuEnabled(False)
        self.plot.showGrid(y=True, alpha=0.2)
        self.plot.setFixedHeight(HEIGHT)
        self.plot.addLegend(offset=(-5, 5), colCount=2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)

    def show_rows(self, rows: Sequence[ProbeRow]) -> None:
        """Show these instead; what was not measured has no bar."""
        self.plot.clear()
        names = list(dict.fromkeys(line.class_name for line in rows))
        rows = [line for line in rows if line.place != "elsewhere" and not math.isnan(line.dsc)]
        there = [key for key in BARS if any(line.condition == key for line in rows)]
        width = GROUP_WIDTH / max(len(there), 1)
        for place, key in enumerate(there):
            lines = [line for line in rows if line.condition == key]
            title, colour = BARS[key]
            offset = (place - (len(there) - 1) / 2) * width
            self.plot.addItem(
                pg.BarGraphItem(
                    x=[names.index(line.class_name) + offset for line in lines],
                    height=[line.dsc for line in lines],
                    width=width,
                    brush=colour,
                    pen=None,
                    name=title,
                )
            )
        self.plot.getAxis("bottom").setTicks([list(enumerate(names))])
        # Room above the bars for the legend.
        self.plot.setYRange(0, 1.35, padding=0)
        self.plot.getAxis("left").setTicks([[(v / 4, f"{v / 4:g}") for v in range(5)]])
