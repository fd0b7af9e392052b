"""A picture of panels for a publication."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from qtpy.QtGui import QColor, QImage

from napari_medcontext.core.colours import class_colour
from napari_medcontext.widgets.figure import canvas_figure
from napari_medcontext.widgets.panel_layers import Panel
from napari_medcontext.widgets.panels import PanelViewer


def panels_figure(panels: PanelViewer, caption: str) -> QImage | None:
    """Return the panels as they are shown, with a legend of their classes; None before any.

    Parameters
    ----------
    panels
        The panels.
    caption
        What is shown; the slice's place is added.
    """
    canvas = panels.canvas()
    if canvas is None or not panels.contents:
        return None
    if panels.model.dims.ndisplay == 2:
        caption = f"{caption}, slice at {panels.model.dims.point[0]:.1f} mm"
    return canvas_figure(canvas, _legend(panels.contents), f"{caption}.")


def _legend(contents: Sequence[Panel]) -> list[tuple[str, QColor]]:
    names = contents[0].class_names
    maps = [panel.labels for panel in contents if panel.labels is not None]
    shown = sorted({int(class_id) for labels in maps for class_id in np.unique(labels)} - {0})
    return [
        (names.get(k, f"class {k}"), QColor.fromRgbF(*(float(part) for part in class_colour(k))))
        for k in shown
    ]
