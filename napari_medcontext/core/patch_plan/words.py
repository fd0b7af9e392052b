"""A patch plan as rows of words, for a terminal or a window."""

from __future__ import annotations

from napari_medcontext.core.patch_plan.sight import PatchPlan, SizeSight, size_text

COLUMNS = {
    "patch": "Voxels along x, y, z at the spacing of the training; ← is recommended.",
    "mm": "The same in millimetres.",
    "foreground %": "Share of labelled voxels in a patch: median (5th to 95th percentile) over "
    "patches drawn as a training draws them.",
    "whole %": "Share of the organs that a patch can hold whole, of the class that fares worst.",
    "ample %": "Share of the organs that a patch can hold with a quarter of their length round "
    "them, of the class that fares worst.",
    "context mm": "What is left round an organ on its tightest side, below 0 where it is cut, of "
    "the class that fares worst.",
    "s/step": "Time of a training step in seconds, on the device as busy as it was.",
    "GiB": "Memory of a training step at its peak, of the GPU or else of the whole process.",
}
"""Title of a column, and what it means."""
HEADS, TIPS = tuple(COLUMNS), tuple(COLUMNS.values())


def plan_cells(plan: PatchPlan) -> list[tuple[str, ...]]:
    """Return a row a size under ``HEADS``; of the classes the one that fares worst counts."""
    return [_cells(plan, sight) for sight in plan.sights]


def _cells(plan: PatchPlan, sight: SizeSight) -> tuple[str, ...]:
    cost = plan.cost_of(sight.size)
    low, _, middle, _, high = (f"{100 * share:.2g}" for share in sight.foreground)
    return (
        size_text(sight.size) + " ←" * (sight.size == plan.advised),
        "×".join(f"{side:.0f}" for side in sight.extent_mm),
        f"{middle} ({low} to {high})",
        f"{100 * min(each.whole for each in sight.classes):.0f}",
        f"{100 * min(each.ample for each in sight.classes):.0f}",
        f"{min(each.context_mm for each in sight.classes):.0f}",
        "–" if cost.seconds is None else f"{cost.seconds:.2f}",
        "–" if cost.gibibytes is None else f"{cost.gibibytes:.1f}",
    )
