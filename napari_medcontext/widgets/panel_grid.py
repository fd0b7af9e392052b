"""How panels are set out on their canvas: in rows of two, or in one row where it is wide."""

from __future__ import annotations

from math import ceil

import numpy as np
from napari.components import ViewerModel

LAYERS_A_PANEL = 2
WIDE = 2.5
"""A canvas that is so many times wider than high gets all panels in one row."""
GAP = 4
"""Space between panels, in pixels."""


class PanelGrid:
    """Sets out the panels of a viewer by the size of its canvas.

    Where the arrangement changes, the camera zooms with the size of the panels, so that the
    same part of the scan fills them; it is left alone otherwise. This is no QObject and is
    to be held by whoever holds the viewer.

    Parameters
    ----------
    model
        The viewer, each panel of which has two layers.
    panels
        Their number.
    """

    def __init__(self, model: ViewerModel, panels: int) -> None:
        self._model, self._panels = model, panels
        self._size = model.canvas.size
        self._columns = self._fitting_columns()
        self._arrange()
        # napari's preferences for the grid are written into every viewer there is.
        model.canvas.grid.events.connect(self._arrange)
        model.canvas.events.size.connect(self._follow_size)

    def _follow_size(self, event: object = None) -> None:
        scale = self._zoom_that_fits()
        self._size = self._model.canvas.size
        columns = self._fitting_columns()
        if columns == self._columns:
            return
        self._columns = columns
        self._arrange()
        if self._model.layers:
            self._model.scene.camera.zoom *= self._zoom_that_fits() / scale

    def _fitting_columns(self) -> int:
        height, width = self._size
        return self._panels if width > WIDE * height else 2

    def _shape(self) -> tuple[int, int]:
        return ceil(self._panels / self._columns), self._columns

    def _zoom_that_fits(self) -> float:
        """Return pixels a millimetre at which the scan fills a panel, but for the gaps."""
        shown = list(self._model.dims.displayed[-2:])
        millimetres = np.ptp(self._model.layers.extent.world, axis=0)[shown]
        panel = np.divide(self._size, self._shape())
        return float(np.min(panel / np.maximum(millimetres, 1e-3)))

    def _arrange(self, event: object = None) -> None:
        grid = self._model.canvas.grid
        wanted = {
            "stride": LAYERS_A_PANEL,
            "shape": self._shape(),
            "spacing": GAP,
            "enabled": True,
        }
        for name, value in wanted.items():
            if getattr(grid, name) != value:
                setattr(grid, name, value)
