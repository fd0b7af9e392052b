"""A patch plan as two curves: the foreground in a patch, and the organs that fit whole."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_medcontext.core.patch_plan import PatchPlan
from napari_medcontext.core.patch_plan.sight import size_text

HEIGHT = 150
LEAST_PER_CENT = 1e-3
"""On an axis of powers, nothing has no place."""
COLOURS = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#F0E442", "#0072B2", "#999999")


class PatchPlot(QWidget):
    """Over the patch sizes, one below the other."""

    def __init__(self) -> None:
        super().__init__()
        self.foreground = _plot(
            "planner_foreground",
            "foreground %",
            "Share of labelled voxels in a patch: median, and 5th to 95th percentile.",
        )
        self.foreground.setLogMode(y=True)
        self.organs = _plot(
            "planner_organs",
            "whole %",
            "Share of the organs that a patch can hold whole, by class.",
        )
        self.organs.addLegend(offset=(5, 2), colCount=3)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.foreground)
        layout.addWidget(self.organs)

    def show_plan(self, plan: PatchPlan) -> None:
        """Show this plan instead."""
        places = np.arange(len(plan.sights))
        ticks = [list(enumerate(size_text(sight.size) for sight in plan.sights))]
        for plot in (self.foreground, self.organs):
            plot.clear()
            plot.getAxis("bottom").setTicks(ticks)
            plot.setXRange(-0.5, len(places) - 0.5, padding=0)
        spreads = 100 * np.array([sight.foreground for sight in plan.sights])
        spreads = np.maximum(spreads, LEAST_PER_CENT)
        for place, spread in zip(places, spreads, strict=True):
            pen = pg.mkPen(COLOURS[0], width=3)
            self.foreground.plot([place, place], [spread[0], spread[-1]], pen=pen)
        self.foreground.plot(places, spreads[:, 2], pen=COLOURS[0], symbol="o", symbolSize=7)
        for number, each in enumerate(plan.sights[0].classes):
            whole = [100 * sight.classes[number].whole for sight in plan.sights]
            colour = COLOURS[number % len(COLOURS)]
            options = {"pen": colour, "symbol": "o", "symbolBrush": colour, "symbolSize": 6}
            self.organs.plot(places, whole, name=each.name, **options)


def _plot(name: str, title: str, tip: str) -> pg.PlotWidget:
    plot = pg.PlotWidget(background=None)
    plot.setObjectName(name)
    plot.setToolTip(tip)
    plot.setLabel("left", title)
    plot.setMouseEnabled(x=False, y=False)
    plot.setMenuEnabled(False)
    plot.showGrid(y=True, alpha=0.2)
    plot.setFixedHeight(HEIGHT)
    return plot
