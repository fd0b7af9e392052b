"""What can be asked about a run and a scan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from napari_medcontext.core.config import Case
from napari_medcontext.core.folder import ProcessId
from napari_medcontext.core.method_settings import MaskingSettings
from napari_medcontext.core.settings import PositiveInt, Settings, setting

Side = tuple[int, int]
Hiding = Literal["token", "mean", "noise"]


def _rising(box: tuple[Side, Side, Side]) -> tuple[Side, Side, Side]:
    if any(start < 0 or stop <= start for start, stop in box):
        raise ValueError("each side of the box must begin at 0 or later and end after it begins")
    return box


VoxelBox = Annotated[tuple[Side, Side, Side], AfterValidator(_rising)]
"""First voxel and the one after the last along x, y, z, on the grid of ``InspectionReady``."""


class InspectSpec(Settings):
    """What shall be looked into: which run, on which scan, and for whom."""

    run: Path
    scan: Case
    watcher: ProcessId | None = setting(
        None, "The program that asks; where it ends, so does the work. Empty: nobody is waited for."
    )
    idle_minutes: float = setting(
        30.0, "The work ends after so long without being asked.", unit="min", gt=0
    )


class ReconstructAsk(Settings):
    """Hide a part of the scan and let the student segment what is left."""

    kind: Literal["reconstruct"] = "reconstruct"
    masking: MaskingSettings = setting(
        MaskingSettings(), "What is drawn to be hidden; its site and token are the run's own."
    )
    seed: int = setting(0, "Number that fixes the draw.", ge=0)
    class_id: PositiveInt | None = setting(
        None, "Class to hide in place of the draw: all of it, by a box round it."
    )
    box: VoxelBox | None = setting(None, "Box to hide in place of the draw.")
    hiding: Hiding | None = setting(
        None,
        "What stands where the scan is hidden: the token that the run learned, the mean of what "
        "is seen, or noise of the values that are seen. Empty: the token where there is one, "
        "else the mean.",
    )

    @model_validator(mode="after")
    def _one_place(self) -> ReconstructAsk:
        if self.class_id is not None and self.box is not None:
            raise ValueError("say either a class or a box to hide")
        return self


class DisagreeAsk(Settings):
    """Find where student and teacher differ, or the student with itself when it is masked."""

    kind: Literal["disagree"] = "disagree"
    with_teacher: bool = setting(
        True, "Whether to compare with the teacher, where the run has one."
    )
    draws: int = setting(
        0, "Masks to draw, to compare the masked student with the unmasked.", ge=0, le=64
    )
    masking: MaskingSettings = setting(
        MaskingSettings(), "What each of them hides; its site and token are the run's own."
    )
    seed: int = setting(0, "Number that fixes the draws.", ge=0)
    axis: Literal["x", "y", "z"] = setting("z", "Axis along which slices are compared.")


class ProbeAsk(Settings):
    """Measure how much of an organ the student knows from its surroundings."""

    kind: Literal["probe"] = "probe"
    class_ids: tuple[PositiveInt, ...] = setting(
        (), "Classes to hide, one at a time. Empty: all that are in the scan's labels."
    )
    box: VoxelBox | None = setting(
        None, "Box to hide in place of those round each class; every class in it is scored."
    )
    draws: int = setting(3, "Boxes to draw round each class.", ge=1, le=64)
    seed: int = setting(0, "Number that fixes the draws.", ge=0)


Ask = Annotated[ReconstructAsk | DisagreeAsk | ProbeAsk, Field(discriminator="kind")]
