"""A patch plan as a picture: foreground, organs that fit, time and memory, by patch size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_medcontext.core.figures import OKABE_ITO, lighten, new_figure, save_figure
from napari_medcontext.core.patch_plan.sight import PatchPlan, size_text

PANEL_INCHES = (4.2, 3.4)
LEAST_SHARE = 1e-3
"""In per cent; on an axis of powers, nothing has no place."""


def draw_plan(path: Path, plan: PatchPlan) -> Path:
    """Draw the plan as PNG.

    Raises
    ------
    FigureError
        If matplotlib is not installed.
    """
    width, height = PANEL_INCHES
    figure = new_figure(3 * width, height, layout="constrained")
    shares, organs, costs = figure.subplots(1, 3)
    _draw_shares(shares, plan)
    _draw_organs(organs, plan)
    _draw_costs(costs, plan)
    for panel in (shares, organs, costs):
        _dress(panel, plan)
    return save_figure(figure, path)


def _draw_shares(panel: Any, plan: PatchPlan) -> None:
    spreads = [100 * np.maximum(sight.foreground, LEAST_SHARE / 100) for sight in plan.sights]
    boxes = [
        dict(zip(("whislo", "q1", "med", "q3", "whishi"), spread, strict=True))
        for spread in spreads
    ]
    panel.bxp(boxes, positions=range(len(boxes)), showfliers=False)
    panel.set(yscale="log", ylabel="foreground in a patch (%)", title="5th to 95th percentile")


def _draw_organs(panel: Any, plan: PatchPlan) -> None:
    for number, first in enumerate(plan.sights[0].classes):
        whole = [100 * sight.classes[number].whole for sight in plan.sights]
        turn, place = divmod(number, len(OKABE_ITO))
        panel.plot(whole, "os"[turn % 2] + "-", color=OKABE_ITO[place], label=first.name)
    panel.set(ylabel="organs that fit whole (%)", ylim=(-4, 104))
    panel.legend(frameon=False, fontsize="small")


def _draw_costs(panel: Any, plan: PatchPlan) -> None:
    costs = [plan.cost_of(sight.size) for sight in plan.sights]
    if not any(cost.seconds for cost in costs):
        panel.text(0.5, 0.5, "not measured", ha="center", transform=panel.transAxes)
        return
    seconds = [np.nan if cost.seconds is None else cost.seconds for cost in costs]
    memory = [np.nan if cost.gibibytes is None else cost.gibibytes for cost in costs]
    panel.plot(seconds, "o-", color=OKABE_ITO[0], label="time (s)")
    panel.plot(memory, "s--", color=OKABE_ITO[2], label="memory (GiB)")
    panel.set(yscale="log", ylabel="one training step", title=plan.device)
    panel.legend(frameon=False, fontsize="small")


def _dress(panel: Any, plan: PatchPlan) -> None:
    names = [size_text(sight.size) for sight in plan.sights]
    panel.set_xticks(range(len(names)), names, rotation=30, ha="right")
    panel.set_xlim(-0.5, len(names) - 0.5)
    lighten(panel)
    for place, sight in enumerate(plan.sights):
        if sight.size == plan.advised:
            panel.axvspan(place - 0.4, place + 0.4, color="#F0E442", alpha=0.3, linewidth=0)
