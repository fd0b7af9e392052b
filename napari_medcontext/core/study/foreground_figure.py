"""Dice and Hausdorff distance against the test scans' foreground, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_medcontext.core.figures import MARKERS, OKABE_ITO, lighten, new_figure, save_figure
from napari_medcontext.core.study.curves import MetricName, finite_mean

if TYPE_CHECKING:
    from napari_medcontext.core.study.foreground import Scored

PANEL_INCHES = (4.2, 3.0)
LEGEND_COLUMNS = 2
"""For each network's panel."""
ROWS: tuple[tuple[MetricName, str], ...] = (("dsc", "DSC"), ("hd95_mm", "HD95 (mm)"))


def draw_foreground(path: Path, scored: Sequence[Scored]) -> Path:
    """Draw a column a network: its scores on each test scan, the mean over seeds, as PNG.

    Filled marks are test scans with as much foreground as the training scans had; hollow ones
    lie outside of that.

    Raises
    ------
    FigureError
        If matplotlib is not installed.
    """
    networks = list(dict.fromkeys(each.series.network for each in scored))
    methods = list(dict.fromkeys(each.series.method for each in scored))
    width, height = PANEL_INCHES
    figure = new_figure(width * len(networks), len(ROWS) * height, layout="constrained")
    panels = figure.subplots(len(ROWS), len(networks), sharex=True, sharey="row", squeeze=False)
    for column, network in enumerate(networks):
        panels[0][column].set_title(network)
        panels[-1][column].set_xlabel("foreground of the test scan (%)")
        for place, (metric, title) in enumerate(ROWS):
            panel = panels[place][column]
            own = [each for each in scored if each.series.network == network]
            _draw(panel, own, methods, metric)
            panel.set(xscale="log", ylabel=title if column == 0 else "")
            lighten(panel)
    handles, titles = panels[0][0].get_legend_handles_labels()
    columns = LEGEND_COLUMNS * len(networks)
    figure.legend(handles, titles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=columns)
    return save_figure(figure, path)


def _draw(panel: Any, scored: Sequence[Scored], methods: Sequence[str], metric: MetricName) -> None:
    for number, method in enumerate(methods):
        own = [each for each in scored if each.series.method == method]
        cases = sorted({(each.foreground, each.case, each.seen) for each in own})
        values = [
            finite_mean(getattr(each, metric) for each in own if each.case == case)
            for _, case, _ in cases
        ]
        colour, mark = OKABE_ITO[number % len(OKABE_ITO)], MARKERS[number % len(MARKERS)]
        percent = [100 * share for share, _, _ in cases]
        panel.plot([], [], color=colour, marker=mark, label=method)
        panel.plot(percent, values, color=colour, linewidth=1.0, alpha=0.6)
        panel.scatter(
            percent,
            values,
            s=22,
            marker=mark,
            edgecolors=colour,
            facecolors=[colour if seen else "white" for _, _, seen in cases],
            zorder=3,
        )
