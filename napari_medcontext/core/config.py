"""Every setting of a run: frozen, validated, with its unit and the words that explain it.

Forms, the command line and the documentation read titles, units and bounds from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from napari_medcontext.core.method_settings import MaskingSettings, ObjectiveSettings
from napari_medcontext.core.region_tables import Regions
from napari_medcontext.core.settings import Settings, validated
from napari_medcontext.core.training_settings import (
    DataSettings,
    DeviceSettings,
    NetworkSettings,
    TrainingSettings,
)

Role = Literal["training", "validation", "preview", "unused"]


class RunConfig(Settings):
    """All settings of a run."""

    network: NetworkSettings = NetworkSettings()
    data: DataSettings = DataSettings()
    masking: MaskingSettings = MaskingSettings()
    objective: ObjectiveSettings = ObjectiveSettings()
    training: TrainingSettings = TrainingSettings()
    device: DeviceSettings = DeviceSettings()

    def updated(self, changes: Mapping[str, Mapping[str, Any]]) -> RunConfig:
        """Return the settings with some replaced, checked again.

        Parameters
        ----------
        changes
            Section to its changed settings, e.g. ``{"training": {"steps": 10}}``.
        """
        values = self.model_dump()
        for section, settings in changes.items():
            values.setdefault(section, {}).update(settings)
        return validated(RunConfig, values, "the settings")


class Case(Settings):
    """One scan of a run, by its files.

    ``image`` is its first channel, and ``further`` are the others; or ``image`` holds them all.
    """

    name: str
    image: Path
    further: tuple[Path, ...] = ()
    labels: Path | None = None
    role: Role = "training"


class RunSpec(Settings):
    """A run's settings and scans: all that is needed to do it, or to go on with it."""

    config: RunConfig = RunConfig()
    cases: tuple[Case, ...] = ()
    class_names: dict[int, str] = Field(default_factory=dict)
    channels: tuple[str, ...] = Field(
        default=(), description="What the channels of each scan are, e.g. [FLAIR, T1]."
    )
    regions: Regions = Field(
        default_factory=dict,
        description="Regions to learn in place of the classes, outermost first: name to the class "
        "ids that it is made of, e.g. WT: [1, 2, 4], TC: [1, 4], ET: [4].",
    )

    @model_validator(mode="after")
    def _regions_are_learned(self) -> RunSpec:
        learned = self.config.data.classes
        for name, members in self.regions.items():
            if learned is not None and not set(members) <= set(learned):
                raise ValueError(f"region “{name}” holds a class that data.classes leaves out")
            if self.config.data.ignore_label in members:
                raise ValueError(f"region “{name}” holds the label of the unknown")
        return self

    def with_role(self, role: Role) -> tuple[Case, ...]:
        """Return the cases of one role."""
        return tuple(case for case in self.cases if case.role == role)


def section_model(name: str) -> type[Settings]:
    """Return the class of one section of the settings, by its name in ``RunConfig``."""
    annotation = RunConfig.model_fields[name].annotation
    assert isinstance(annotation, type)
    return annotation
