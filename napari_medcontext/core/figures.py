"""What all figures share: a figure to draw on without a window, colours, and its file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.extras import optional_library
from napari_medcontext.core.io import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OKABE_ITO = ("#000000", "#E69F00", "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442")
"""Colours that the colour-blind tell apart; the baseline, first, is black."""
MARKERS = "osD^v"
DOTS_PER_INCH = 160


class FigureError(MedContextError):
    """There is nothing to draw, or nothing to draw with."""


def new_figure(width: float, height: float, **settings: Any) -> Figure:
    """Return an empty figure of so many inches.

    Raises
    ------
    FigureError
        If matplotlib is not installed.
    """
    need = "Figures need matplotlib"
    otherwise = "do without them; the same command draws them later"
    modules = ("matplotlib.figure", "matplotlib.backends.backend_agg")
    drawing, agg = (
        optional_library(name, "figures", need, otherwise, FigureError) for name in modules
    )
    figure: Figure = drawing.Figure(figsize=(width, height), **settings)
    agg.FigureCanvasAgg(figure)
    return figure


def lighten(panel: Any) -> None:
    """Give a panel a faint grid, and no frame above and on its right."""
    panel.grid(alpha=0.25, linewidth=0.6)
    panel.spines[["top", "right"]].set_visible(False)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, whole or not at all."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DOTS_PER_INCH, bbox_inches="tight")
    return path
