"""What is planned for: the labels and settings; and the folder that keeps what came out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from napari_medcontext.core.asked_folder import AskedFolder
from napari_medcontext.core.config import Case, RunConfig
from napari_medcontext.core.errors import RunError
from napari_medcontext.core.io import atomic_path
from napari_medcontext.core.patch_plan.sight import PatchPlan
from napari_medcontext.core.settings import PositiveInt, Settings, load


class PlanSpec(Settings):
    """The labels to look at, the training that they are meant for, and the sizes to try."""

    config: RunConfig = RunConfig()
    cases: Annotated[tuple[Case, ...], Field(min_length=1)]
    class_names: dict[int, str] = Field(default_factory=dict)
    channels: tuple[str, ...] = ()
    sizes: str = Field(default="", description="As sizes.parsed_sizes reads them. Empty: all.")
    draws: PositiveInt = Field(default=200, description="Patches drawn of each size, in all.")
    probe: bool = Field(default=True, description="Whether to measure training steps.")
    most_seconds: Annotated[float, Field(gt=0)] = Field(
        default=5.0, description="What a step may take at most to be recommended."
    )


class PlanFolder(AskedFolder[PlanSpec]):
    """The folder of a patch plan: ``patch_plan.yaml``, and what came out."""

    spec_type = PlanSpec
    spec_name = "patch_plan.yaml"

    @property
    def result_path(self) -> Path:
        """The plan itself, as JSON."""
        return self.path / "patch_plan.json"

    def keep(self, plan: PatchPlan) -> None:
        """Write the plan."""
        with atomic_path(self.result_path) as temporary:
            temporary.write_text(plan.model_dump_json(indent=1), encoding="utf-8")

    def plan(self) -> PatchPlan:
        """Read the plan.

        Raises
        ------
        RunError
            If there is none as yet.
        """
        if not self.result_path.is_file():
            raise RunError(f"{self.path} holds no patch plan: it has no {self.result_path.name}.")
        return load(PatchPlan, self.result_path)
