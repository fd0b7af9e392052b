"""The patch planner: what patches of each size would see of the labels, and what they would cost.

``sizes`` says which sizes are tried, ``measure`` what their patches see, ``step_cost`` and
``step_child`` what a training step with them takes, ``advice`` which to choose and why;
``plan`` and ``sight`` are what goes in and comes out, ``conduct`` does it all, ``results``,
``words`` and ``figure`` tell it. This module imports no torch, so that a window may show a plan.
"""

from napari_medcontext.core.patch_plan.plan import PlanFolder, PlanSpec
from napari_medcontext.core.patch_plan.sight import ClassSight, PatchPlan, SizeSight, StepCost

__all__ = ["ClassSight", "PatchPlan", "PlanFolder", "PlanSpec", "SizeSight", "StepCost"]
