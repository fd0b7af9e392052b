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
ORGAN_HEIGHT, LEGEND_HEIGHT, AXIS_HEIGHT = 34, 84, 44
"""Pixels that an organ's bars, the legend above them, and the axis below them take."""


class ProbeBars(QWidget):
    """A group of bars for each organ, one below the other, their length the Dice."""

    def __init__(self) -> None:
        super().__init__()
        self.setToolTip("Dice (0 to 1) of each organ, seen and hidden; the table has the numbers.")
        self.plot = pg.PlotWidget(background=None)
        self.plot.setObjectName("probe_bars")
        self.plot.setLabel("bottom", "DSC")
        self.plot.setMouseEnabled(x=False, y=False)
        self.plot.setMenuEnabled(False)
        self.plot.invertY()
        self.plot.showGrid(x=True, alpha=0.2)
        self.plot.addLegend(offset=(-5, 2), colCount=2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)

    def show_rows(self, rows: Sequence[ProbeRow]) -> None:
        """Show these instead; what was not measured has no bar."""
        self.plot.clear()
        names = list(dict.fromkeys(line.class_name for line in rows))
        rows = [line for line in rows if line.place != "elsewhere" and not math.isnan(line.dsc)]
        there = [key for key in BARS if any(line.condition == key for line in rows)]
        thickness = GROUP_WIDTH / max(len(there), 1)
        for place, key in enumerate(there):
            lines = [line for line in rows if line.condition == key]
            title, colour = BARS[key]
            offset = (place - (len(there) - 1) / 2) * thickness
            self.plot.addItem(
                pg.BarGraphItem(
                    x0=0.0,
                    y=[names.index(line.class_name) + offset for line in lines],
                    width=[line.dsc for line in lines],
                    height=thickness,
                    brush=colour,
                    pen=None,
                    name=title,
                )
            )
        self.plot.getAxis("left").setTicks([list(enumerate(names))])
        self.plot.setXRange(0, 1.02, padding=0)
        # Room above the bars for the legend.
        above = LEGEND_HEIGHT / ORGAN_HEIGHT
        self.plot.setYRange(-0.5 - above, len(names) - 0.5, padding=0)
        self.plot.setFixedHeight(LEGEND_HEIGHT + ORGAN_HEIGHT * len(names) + AXIS_HEIGHT)
