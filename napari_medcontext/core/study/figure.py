"""Learning curves as a picture: one panel a network, one colour a method, a band over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_medcontext.core.figures import MARKERS, OKABE_ITO, lighten, new_figure, save_figure
from napari_medcontext.core.study.curves import CaseCurves, Curve, mean_curve, seed_curves
from napari_medcontext.core.study.rows import Series

LINES = {"student": "-", "teacher": "--", "mean": ":"}
PANEL_INCHES = (4.6, 3.6)
AXES = {"seconds": "training time (s)", "steps": "training steps"}
Across = Literal["seconds", "steps"]
FIGURES: Mapping[str, Across] = {"curves-time.png": "seconds", "curves-steps.png": "steps"}


def draw_curves(path: Path, curves: CaseCurves, across: Across) -> Path:
    """Draw the Dice on the test scans against training time or steps, as PNG.

    Lines are means over cases and seeds; bands go from the lowest seed to the highest.

    Raises
    ------
    FigureError
        If matplotlib is not installed.
    """
    networks = list(dict.fromkeys(series.network for series in curves))
    methods = list(dict.fromkeys(series.method for series in curves))
    width, height = PANEL_INCHES
    figure = new_figure(width * len(networks), height + 0.22 * len(curves) / len(networks))
    panels = figure.subplots(1, len(networks), sharey=True, squeeze=False)[0]
    for network, panel in zip(networks, panels, strict=True):
        panel.set(title=network, xlabel=AXES[across])
        lighten(panel)
        for series, by_key in curves.items():
            if series.network == network:
                style = _style(series, methods)
                _draw_series(panel, list(seed_curves(by_key).values()), series, style, across)
    panels[0].set_ylabel("DSC on test scans")
    _legend(figure, panels)
    return save_figure(figure, path)


def _style(series: Series, methods: Sequence[str]) -> Mapping[str, str]:
    number = methods.index(series.method)
    turn, place = divmod(number, len(OKABE_ITO))
    return {
        "color": OKABE_ITO[place],
        "marker": MARKERS[turn % len(MARKERS)],
        "linestyle": LINES[series.weights],
    }


def _draw_series(
    panel: Any, seeds: Sequence[Curve], series: Series, style: Mapping[str, str], across: Across
) -> None:
    mean = mean_curve(seeds)
    x = mean.seconds if across == "seconds" else mean.steps
    panel.plot(x, mean.dsc, label=series.title, linewidth=1.6, markersize=3.5, **style)
    if len(seeds) > 1 and len(x):
        values = np.array([curve.dsc[np.isin(curve.steps, mean.steps)] for curve in seeds])
        low, high = values.min(axis=0), values.max(axis=0)
        panel.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0)


def _legend(figure: Any, panels: Sequence[Any]) -> None:
    """Name each line once, below the panels, whichever of them it is in."""
    lines = {
        label: line
        for panel in panels
        for line, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.tight_layout()
    figure.legend(
        lines.values(),
        lines.keys(),
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=min(len(lines), 2 * len(panels)),
        frameon=False,
    )
