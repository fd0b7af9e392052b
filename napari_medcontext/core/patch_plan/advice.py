"""Which patch size to choose, and why."""

from __future__ import annotations

from collections.abc import Sequence

from napari_medcontext.core.networks import PatchSize
from napari_medcontext.core.patch_plan.sight import PatchPlan, SizeSight, StepCost, size_text
from napari_medcontext.core.patch_plan.sizes import voxels

MOST_ORGANS = 0.9
"""A size suits a class if it holds this share of its organs as asked."""
MEMORY_SHARE = 0.8
"""A step may take this share of the memory that is free."""
MOSTLY_BEYOND = 0.5
"""From this share on, a patch is mostly the repeated edge of the scan, no context."""


def advised(plan: PatchPlan, most_seconds: float) -> PatchPlan:
    """Return the plan with the patch size that it recommends, and the reason in words.

    Sizes are left out whose step needs more than ``MEMORY_SHARE`` of the free memory or more than
    ``most_seconds``, that could not be measured, or of which more than ``MOSTLY_BEYOND`` lies
    beyond the scans. Among the others:

    - The smallest that holds nine in ten organs of every class with ample context is taken. A
      larger one would cost more with each step (at the cube of its side), and lower the share of
      foreground, for the sake of what lies far from any organ.
    - Where none does, the largest is taken: every network of Kamath et al. (“How do 3D image
      segmentation networks behave across the context versus foreground ratio trade-off?”, Medical
      Imaging meets NeurIPS 2022) does better with more context, even at a smaller share of
      foreground; and nnU-Net (Isensee et al., Nature Methods 2021) takes the largest patch that
      the memory holds.

    That study speaks for larger patches throughout. To stop where context is ample is this
    project's own choice, for the sake of time; ``medcontext study-patch-size`` tries it on data.

    Parameters
    ----------
    plan
        What each size sees, and costs as far as it was measured.
    most_seconds
        What a step may take at most.
    """
    useful = [sight for sight in plan.sights if sight.beyond <= MOSTLY_BEYOND]
    kept = [sight for sight in useful if not _too_dear(plan, sight.size, most_seconds)]
    if not kept:
        why = "; ".join(
            f"{size_text(sight.size)}: {_too_dear(plan, sight.size, most_seconds)}"
            for sight in useful
        )
        reason = f"No size can be recommended. {why or 'All of them reach far beyond the scans'}."
        return plan.model_copy(update={"advised": None, "reason": reason})
    ample = [sight for sight in kept if _suits(sight, "ample")]
    chosen = min(ample, key=_voxels) if ample else max(kept, key=_voxels)
    parts = [
        _why(chosen, bool(ample)),
        _dearer(plan, chosen, useful, bool(ample), most_seconds),
        _foreground(chosen),
        "" if plan.costs else "Time and memory were not measured.",
    ]
    reason = " ".join(part for part in parts if part)
    return plan.model_copy(update={"advised": chosen.size, "reason": reason})


def _why(chosen: SizeSight, ample: bool) -> str:
    name = size_text(chosen.size)
    if ample:
        return (
            f"{name} is the smallest that holds nine in ten organs of every class with ample "
            "context: a quarter of their length on each side."
        )
    least = min(chosen.classes, key=lambda each: (each.ample, each.context_mm))
    found = (
        f"it holds {least.whole:.0%} of “{least.name}” whole ({least.length_mm:.0f} mm long), "
        f"{least.ample:.0%} with ample context"
    )
    return f"{name} is the largest that can be afforded, and more context is better: {found}."


def _dearer(
    plan: PatchPlan,
    chosen: SizeSight,
    useful: Sequence[SizeSight],
    ample: bool,
    most_seconds: float,
) -> str:
    """Say what the next size would bring or want."""
    larger = [sight for sight in useful if _voxels(sight) > _voxels(chosen)]
    if not larger:
        return ""
    following = min(larger, key=_voxels)
    name = size_text(following.size)
    if not ample:
        return f"{name} is too dear: {_too_dear(plan, following.size, most_seconds)}."
    now, then = plan.cost_of(chosen.size).seconds, plan.cost_of(following.size).seconds
    if now and then:
        return f"A step of {name} would take {then / now:.1f} times as long."
    return f"{name} has {_voxels(following) / _voxels(chosen):.1f} times as many voxels."


def _foreground(chosen: SizeSight) -> str:
    low, _, middle, _, high = (f"{100 * share:.2g}" for share in chosen.foreground)
    return (
        f"Its patches hold {low} to {high} % foreground (5th to 95th percentile, median "
        f"{middle} %); expect less of scans whose share lies outside of that."
    )


def _too_dear(plan: PatchPlan, size: PatchSize, most_seconds: float) -> str:
    """Return why a size cannot be afforded; empty where it can, or nothing is known of it."""
    cost: StepCost = plan.cost_of(size)
    if cost.problem:
        return cost.problem.rstrip(".")
    free = plan.available_gib
    if free is not None and cost.gibibytes is not None and cost.gibibytes > MEMORY_SHARE * free:
        return f"a step needs {cost.gibibytes:.1f} GiB, and {free:.1f} GiB are free"
    if cost.seconds is not None and cost.seconds > most_seconds:
        return f"a step takes {cost.seconds:.1f} s, more than {most_seconds:g} s"
    return ""


def _suits(sight: SizeSight, how: str) -> bool:
    return all(getattr(each, how) >= MOST_ORGANS for each in sight.classes)


def _voxels(sight: SizeSight) -> int:
    return voxels(sight.size)
