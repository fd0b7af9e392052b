"""What a check finds, and what it is looked for in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.volume import Spacing, median_spacing

if TYPE_CHECKING:
    from napari_medcontext.core.preflight.survey import Survey


@dataclass(frozen=True)
class Finding:
    """Something wrong or odd.

    Parameters
    ----------
    kind
        A word for the kind of finding, the same for all of it.
    scans
        Names of the scans that it is about.
    what
        What is wrong.
    remedy
        What to do.
    stops
        Whether a training would fail, or be worthless.
    """

    kind: str
    scans: Sequence[str]
    what: str
    remedy: str
    stops: bool = False


@dataclass(frozen=True, eq=False)
class Study:
    """All scans that could be read, what they are meant for, and what classes and channels are."""

    surveys: Sequence[Survey]
    config: RunConfig
    class_names: Mapping[int, str]
    channels: Sequence[str] = ()

    @property
    def training(self) -> list[Survey]:
        """The scans to train on."""
        return [survey for survey in self.surveys if survey.role == "training"]

    @property
    def classes(self) -> set[int]:
        """The classes that any labels have."""
        return set().union(*(survey.classes for survey in self.surveys))

    @property
    def spacing(self) -> Spacing:
        """The run's voxel size along x, y, z in millimetres."""
        sizes = [survey.spacing for survey in self.training or self.surveys]
        return self.config.data.spacing or median_spacing(sizes)

    def name_of(self, class_id: int) -> str:
        """Return what a class is called."""
        return self.class_names.get(class_id, f"class {class_id}")
