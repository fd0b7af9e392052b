"""The context probe as a bar chart: what is left of each organ when it is hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_medcontext.core.figures import OKABE_ITO, FigureError, new_figure, save_figure
from napari_medcontext.core.probe.rows import Condition
from napari_medcontext.core.probe.summary import ALL, Key, ProbeMean

HATCHES: Mapping[Condition, str] = {"token": "", "mean": "//", "noise": ".."}
"""How bars of one method are told apart: by what stands where the organ was."""
GROUP = 0.84
"""Share of an organ's place that its bars take."""
SLIM = 0.92
"""Share of a bar's place that it takes."""
INCHES_PER_BAR, LEAST_INCHES, HEIGHT = 0.17, 6.0, 4.2


def draw_bars(path: Path, means: Mapping[Key, ProbeMean]) -> Path:
    """Draw a group of bars for each organ: its Dice when it is hidden, by method and hiding.

    A line over a bar is the Dice of the organ visible, the grey bar that of its average shape; a
    whisker reaches one standard deviation over the runs up and down.

    Raises
    ------
    FigureError
        If matplotlib is not installed, or there is nothing to draw.
    """
    organs = [*dict.fromkeys(key[1] for key in means if key[1] != ALL), ALL]
    methods = list(dict.fromkeys(key[0] for key in means))
    bars = [
        (method, hiding)
        for method in methods
        for hiding in HATCHES
        if any(key[0] == method and key[2:] == ("organ", hiding) for key in means)
    ]
    if not bars:
        raise FigureError("There is no chart: no organ was hidden.")
    inches = max(LEAST_INCHES, INCHES_PER_BAR * len(organs) * (len(bars) + 2))
    figure = new_figure(inches, HEIGHT)
    panel = figure.subplots()
    _draw_groups(panel, means, organs, methods, bars)
    _dress(panel, ["mean" if organ == ALL else organ for organ in organs])
    figure.tight_layout()
    figure.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=3, frameon=False)
    return save_figure(figure, path)


def _draw_groups(
    panel: Any,
    means: Mapping[Key, ProbeMean],
    organs: Sequence[str],
    methods: Sequence[str],
    bars: Sequence[tuple[str, Condition]],
) -> None:
    """Draw one bar of each group after another, the average shape last."""
    width = GROUP / (len(bars) + 1)
    begin = np.arange(len(organs)) - GROUP / 2
    for number, (method, hiding) in enumerate(bars):
        colour = OKABE_ITO[methods.index(method) % len(OKABE_ITO)]
        hidden = [means.get((method, organ, "organ", hiding)) for organ in organs]
        visible = [means.get((method, organ, "nowhere", "visible")) for organ in organs]
        left, right = begin + number * width, begin + (number + SLIM) * width
        panel.bar(
            left,
            [_dsc(found) for found in hidden],
            SLIM * width,
            align="edge",
            yerr=[np.nan if found is None else found.deviation for found in hidden],
            error_kw={"elinewidth": 0.8, "ecolor": "#666666"},
            label=f"{method}: {hiding}",
            **_style(colour, hiding),
        )
        panel.hlines([_dsc(found) for found in visible], left, right, colour, linewidth=1.6)
    left = begin + len(bars) * width
    shapes = [_shape(means, methods, organ) for organ in organs]
    panel.bar(left, shapes, SLIM * width, align="edge", color="#BBBBBB", label="average shape")
    panel.plot([], [], color="#333333", linewidth=1.6, label="the organ visible")


def _style(colour: str, hiding: Condition) -> dict[str, Any]:
    face = "white" if HATCHES[hiding] else colour
    return {"color": face, "edgecolor": colour, "hatch": HATCHES[hiding], "linewidth": 0.8}


def _dress(panel: Any, titles: Sequence[str]) -> None:
    panel.set_xticks(np.arange(len(titles)), titles, rotation=20, ha="right")
    panel.set(ylabel="DSC of the hidden organ", ylim=(0, 1))
    panel.grid(axis="y", alpha=0.25, linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def _dsc(found: ProbeMean | None) -> float:
    return np.nan if found is None else found.dsc


def _shape(means: Mapping[Key, ProbeMean], methods: Sequence[str], organ: str) -> float:
    """Return the Dice of the average shape: the mean over methods, which differ in scans alone."""
    found = [means.get((method, organ, "organ", "average shape")) for method in methods]
    return float(np.mean([each.dsc for each in found if each is not None] or [np.nan]))
