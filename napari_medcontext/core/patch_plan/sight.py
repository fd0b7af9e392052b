"""What a patch size sees and costs: the numbers of a patch plan."""

from __future__ import annotations

from napari_medcontext.core.networks import PatchSize
from napari_medcontext.core.settings import Settings
from napari_medcontext.core.volume import Spacing

PERCENTILES = (5, 25, 50, 75, 95)
"""What a ``Spread`` holds, in per cent of the drawn patches."""
Spread = tuple[float, float, float, float, float]


class ClassSight(Settings):
    """What patches of one size see of one class.

    An organ is the largest piece of a class in one scan.

    Parameters
    ----------
    share
        Percentiles over the drawn patches of the share of voxels that are of the class.
    whole
        Share of the organs that a patch can hold whole, 0 to 1.
    ample
        Share of the organs that it can hold with ample context (see ``measure``), 0 to 1.
    length_mm
        Median of the organs' longest sides in mm.
    context_mm
        Median of what is left round a centred organ on its tightest side, in mm; below 0 where
        the organ is cut.
    """

    class_id: int
    name: str
    share: Spread
    whole: float
    ample: float
    length_mm: float
    context_mm: float


class SizeSight(Settings):
    """What patches of one size see.

    Parameters
    ----------
    size
        Voxels along x, y, z at the training's spacing.
    extent_mm
        The same in mm.
    foreground
        Percentiles over the drawn patches of the share of voxels that are of any class.
    beyond
        Mean share of a patch that lies beyond the scan, where the scan's edge is repeated.
    classes
        Each class by itself.
    """

    size: PatchSize
    extent_mm: Spacing
    foreground: Spread
    beyond: float
    classes: tuple[ClassSight, ...]


class StepCost(Settings):
    """What one training step with patches of one size takes; none where it was not measured.

    ``gibibytes`` is the memory at its peak, of the device on a GPU, else of the whole process;
    ``problem`` is why there are no numbers; ``slow`` whether it was given up for want of time.
    """

    size: PatchSize
    seconds: float | None = None
    gibibytes: float | None = None
    problem: str = ""
    slow: bool = False


class PatchPlan(Settings):
    """What each patch size would see and cost, and which is recommended.

    ``device`` is empty and ``available_gib`` is ``None`` where no step was measured. ``advised``
    is ``None`` where no size can be recommended; ``reason`` says why, or why this one.
    """

    network: str
    batch_size: int
    spacing: Spacing
    scans: int
    sights: tuple[SizeSight, ...]
    costs: tuple[StepCost, ...] = ()
    device: str = ""
    available_gib: float | None = None
    advised: PatchSize | None = None
    reason: str = ""

    def cost_of(self, size: PatchSize) -> StepCost:
        """Return what a step with patches of this size takes, as far as it is known."""
        return next((cost for cost in self.costs if cost.size == size), StepCost(size=size))


def size_text(size: PatchSize) -> str:
    """Return a size as it is read: ``"64×64×32"``."""
    return "×".join(map(str, size))
