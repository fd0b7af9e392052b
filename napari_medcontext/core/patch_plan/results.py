"""A patch plan as a CSV table, as text for a terminal, and as a figure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_medcontext.core.figures import FigureError
from napari_medcontext.core.patch_plan.figure import draw_plan
from napari_medcontext.core.patch_plan.sight import (
    PERCENTILES,
    PatchPlan,
    Spread,
    size_text,
)
from napari_medcontext.core.study.rows import write_table

TABLE, FIGURE = "patches.csv", "patches.png"
FOREGROUND = "foreground"
"""Stands for the class name in the row of all classes together."""
COLUMNS = (
    *("size", "x_mm", "y_mm", "z_mm", "class_id", "class_name"),
    *(f"share_p{percent}" for percent in PERCENTILES),
    *("whole", "ample", "length_mm", "context_mm", "beyond"),
    *("step_seconds", "step_gib", "problem", "recommended"),
)


def write_results(folder: Path, plan: PatchPlan) -> str:
    """Write ``patches.csv`` and ``patches.png``.

    Returns
    -------
    str
        What could not be written, for the user; mostly empty.
    """
    write_table(folder / TABLE, COLUMNS, _rows(plan))
    try:
        draw_plan(folder / FIGURE, plan)
    except FigureError as error:
        return str(error)
    return ""


def _rows(plan: PatchPlan) -> Iterator[dict[str, Any]]:
    for sight in plan.sights:
        cost = plan.cost_of(sight.size)
        x, y, z = sight.extent_mm
        shared = {
            **{"size": size_text(sight.size), "x_mm": x, "y_mm": y, "z_mm": z},
            **{"beyond": sight.beyond, "problem": cost.problem},
            "step_seconds": "" if cost.seconds is None else cost.seconds,
            "step_gib": "" if cost.gibibytes is None else cost.gibibytes,
            "recommended": int(sight.size == plan.advised),
        }
        yield {**shared, "class_name": FOREGROUND, **_shares(sight.foreground)}
        for each in sight.classes:
            facts = each.model_dump(exclude={"share", "name"})
            yield {**shared, **facts, "class_name": each.name, **_shares(each.share)}


def _shares(spread: Spread) -> dict[str, float]:
    return {f"share_p{percent}": share for percent, share in zip(PERCENTILES, spread, strict=True)}
