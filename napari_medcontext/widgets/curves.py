"""Live curves of the losses and of the Dice on validation."""

from __future__ import annotations

from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_medcontext.core.events import Event, RunStarted, StepFinished, ValidationFinished
from napari_medcontext.widgets.beat import Beat

if TYPE_CHECKING:
    import pyqtgraph as pg

# Okabe and Ito's colours, which the colour-blind can tell apart.
LOSS_COLOURS = {
    "dice_ce": "#56B4E9",
    "dice_ce_masked": "#E69F00",
    "consistency": "#009E73",
}
LOSS_TITLES = {
    "dice_ce": "whole scan",
    "dice_ce_masked": "masked scan",
    "consistency": "consistency with the teacher",
}
DICE_COLOUR = "#CC79A7"


class Curves(QWidget):
    """Two plots, made when needed: each loss term, and the Dice where there is validation."""

    began = Signal()
    """The first steps since all was forgotten are drawn."""

    def __init__(self) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._losses: pg.PlotWidget | None = None
        self._dice: pg.PlotWidget | None = None
        self._lines: dict[str, pg.PlotDataItem] = {}
        self._points: dict[str, tuple[list[float], list[float]]] = {}
        self._beat = Beat(self, self._draw)
        self._is_new = True

    def prepare(self) -> None:
        """Load what draws curves, beside the window: from a cold disk it takes half a second."""
        Thread(target=import_module, args=("pyqtgraph",), daemon=True).start()

    def receive(self, event: Event) -> None:
        """Add what an event says; a run that goes on forgets the steps it does again."""
        match event:
            case RunStarted(first_step=first, validated=validated):
                self._forget_after(first)
                if validated or self._dice is not None:
                    self._dice_plot().setVisible(validated)
            case StepFinished(step=step, losses=losses):
                for name, loss in losses.items():
                    self._add(
                        self._loss_plot(), name, step, loss, LOSS_COLOURS[name], LOSS_TITLES[name]
                    )
            case ValidationFinished(step=step, mean_dsc=dsc):
                self._add(self._dice_plot(), "dice", step, dsc, DICE_COLOUR, "")

    def points(self, name: str) -> tuple[list[float], list[float]]:
        """Return the steps and values of one curve."""
        return self._points.get(name, ([], []))

    def clear(self) -> None:
        """Forget all."""
        self._forget_after(-1)
        self._is_new = True

    def _loss_plot(self) -> pg.PlotWidget:
        if self._losses is None:
            self._losses = _plot("loss")
            self._losses.addLegend(offset=(-5, 5))
            self.layout().insertWidget(0, self._losses)
        return self._losses

    def _dice_plot(self) -> pg.PlotWidget:
        # Most runs have no validation.
        if self._dice is None:
            self._dice = _plot("Dice on validation")
            self._dice.setYRange(0, 1)
            self.layout().addWidget(self._dice)
        return self._dice

    def _add(
        self, plot: pg.PlotWidget, name: str, step: int, value: float, colour: str, title: str
    ) -> None:
        if name not in self._lines:
            import pyqtgraph as pg

            symbol = {"symbol": "o", "symbolSize": 5} if name == "dice" else {}
            self._lines[name] = plot.plot(pen=pg.mkPen(colour, width=2), name=title, **symbol)
            self._points[name] = ([], [])
        steps, values = self._points[name]
        if steps and step <= steps[-1]:
            # The log that the curve was begun with told it already.
            return
        steps.append(step)
        values.append(value)
        self._beat.start()

    def _draw(self) -> None:
        for name, (steps, values) in self._points.items():
            self._lines[name].setData(steps, values)
        if self._is_new and any(steps for steps, _ in self._points.values()):
            self._is_new = False
            self.began.emit()

    def _forget_after(self, step: int) -> None:
        for steps, values in self._points.values():
            kept = sum(1 for done in steps if done <= step)
            del steps[kept:], values[kept:]
        self._draw()


def _plot(title: str) -> pg.PlotWidget:
    # A dock that opens, with no curve as yet, need not wait for it.
    import pyqtgraph as pg

    plot = pg.PlotWidget(background=None)
    plot.setLabel("bottom", "step")
    plot.setLabel("left", title)
    plot.showGrid(x=True, y=True, alpha=0.2)
    plot.setMinimumHeight(150)
    plot.getPlotItem().setDownsampling(auto=True, mode="peak")
    plot.getPlotItem().setClipToView(True)
    return plot
