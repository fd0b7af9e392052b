"""The plan of a study: its scans, arms, networks and seeds, and the trainings that these make."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from napari_medcontext.core.config import Case, RunConfig, RunSpec
from napari_medcontext.core.errors import RunError, SettingsError
from napari_medcontext.core.folder import STUDY_FILE, WorkFolder
from napari_medcontext.core.io import atomic_path
from napari_medcontext.core.settings import Settings, dump, load, validated
from napari_medcontext.core.study.arms import BASELINE, Arm
from napari_medcontext.core.study.rows import Series

Cases = tuple[Case, ...]


class StudySpec(Settings):
    """All that is needed to do a study, or to go on with it.

    Where there are no test scans, each training scan is left out in turn and scored by a
    network that learned from the others.
    """

    config: RunConfig = RunConfig()
    networks: Annotated[tuple[str, ...], Field(min_length=1)] = ("unet",)
    arms: Annotated[tuple[Arm, ...], Field(min_length=1)]
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0, 1, 2)
    training: Annotated[Cases, Field(min_length=1)]
    test: Cases = ()
    unlabelled: Cases = ()
    class_names: dict[int, str] = Field(default_factory=dict)
    channels: tuple[str, ...] = ()
    regions: dict[str, tuple[PositiveInt, ...]] = Field(default_factory=dict)
    checkpoints: Annotated[int, Field(ge=1)] = Field(
        default=8, description="How often the student is scored, evenly over the steps."
    )
    budgets: tuple[PositiveFloat, ...] = Field(
        default=(), description="Seconds of training at which methods are compared."
    )
    baseline: str | None = None
    foreground: bool = Field(
        default=False, description="Whether to set scores against the scans' foreground too."
    )
    command: str = Field(default="", description="What was typed to do this, for the report.")

    @property
    def leaves_one_out(self) -> bool:
        """Whether each training scan is scored in turn, for lack of test scans."""
        return not self.test

    @property
    def series(self) -> list[Series]:
        """What its tables have a row for, and its plots a line."""
        return [
            Series(network, arm.name, weights)
            for network in self.networks
            for arm in self.arms
            for weights in arm.weights
        ]

    def against(self, arm: Arm) -> str:
        """Return the name of the arm that an arm is compared with."""
        names = [other.name for other in self.arms]
        return arm.against or self.baseline or (BASELINE if BASELINE in names else names[0])

    @model_validator(mode="after")
    def _arms_have_names_of_their_own(self) -> StudySpec:
        names = [arm.name for arm in self.arms]
        if len({_plain(name) for name in names}) < len(names):
            raise SettingsError(
                f"Two methods have the same name, or nearly so: {', '.join(names)}. Rename one."
            )
        for wanted in {self.baseline, *(arm.against for arm in self.arms)} - {None, *names}:
            raise SettingsError(
                f"There is no method “{wanted}” to compare with; there are {', '.join(names)}."
            )
        return self

    @model_validator(mode="after")
    def _scans_can_be_scored(self) -> StudySpec:
        bare = [case.name for case in (*self.test, *self.training) if case.labels is None]
        if bare:
            raise SettingsError(f"Without labels to learn from or score with: {', '.join(bare)}.")
        learned = {case.image.resolve() for case in (*self.training, *self.unlabelled)}
        seen = [case.name for case in self.test if case.image.resolve() in learned]
        if seen:
            raise SettingsError(
                f"{', '.join(seen)} would be both learned from and scored. Name each scan once."
            )
        if self.leaves_one_out and len(self.training) < 2:
            raise SettingsError("With one scan and no test scan there is nothing to score.")
        return self


class StudyFolder(WorkFolder):
    """The folder of a study: ``study.yaml``, ``runs/``, tables, figures and ``report.md``."""

    @property
    def spec_path(self) -> Path:
        """The file of the plan; ``core.jobs`` knows a study by it."""
        return self.path / STUDY_FILE

    @property
    def report(self) -> Path:
        """What was found so far, in Markdown."""
        return self.path / "report.md"

    @property
    def cache(self) -> Path:
        """Prepared scans, which all trainings share."""
        return self.path / "cache"

    def exists(self) -> bool:
        """Say whether this is the folder of a study."""
        return self.spec_path.is_file()

    def create(self, spec: StudySpec) -> StudyFolder:
        """Make the folder and write its plan; what was measured before stays."""
        self.require_idle()
        with atomic_path(self.spec_path) as temporary:
            temporary.write_text(dump(spec), encoding="utf-8")
        return self

    def spec(self) -> StudySpec:
        """Read the plan.

        Raises
        ------
        RunError
            If there is none.
        """
        if not self.exists():
            raise RunError(f"{self.path} is no folder of a study: it has no {STUDY_FILE}.")
        return load(StudySpec, self.spec_path)

    def run_path(self, cell: Cell) -> Path:
        """Return the run folder of one training."""
        return self.path / "runs" / cell.folder_name


@dataclass(frozen=True)
class Cell:
    """One training of a study, and the scans that it is scored on.

    ``fold`` is the scan that was left out, or empty.
    """

    network: str
    arm: Arm
    seed: int
    fold: str
    study: StudySpec

    @property
    def name(self) -> str:
        """What it is called in lines and tables."""
        parts = [self.network, self.arm.name, f"seed {self.seed}"]
        return " · ".join([*parts, f"without {self.fold}"] if self.fold else parts)

    @property
    def folder_name(self) -> str:
        """What its run folder is called."""
        parts = [self.network, self.arm.name, f"seed{self.seed}"]
        if self.fold:
            # Numbered, since names of layers may differ in marks alone that no file system takes.
            names = [case.name for case in self.study.training]
            parts.append(f"{names.index(self.fold) + 1:02d}_{self.fold}")
        return "-".join(map(_plain, parts))

    @property
    def test(self) -> Cases:
        """The scans that it is scored on."""
        if not self.fold:
            return self.study.test
        return tuple(case for case in self.study.training if case.name == self.fold)

    def run_spec(self) -> RunSpec:
        """Return the settings and scans of the training.

        Raises
        ------
        SettingsError
            If they cannot work: more scans are asked for than there are, for example.
        """
        kept = tuple(
            case
            for case in self.study.training
            if case.name != self.fold and (self.arm.only is None or case.name in self.arm.only)
        )
        wanted = self.arm.scans or len(kept)
        if wanted > len(kept):
            raise SettingsError(
                f"{self.arm.name} asks for {wanted} training scans, but there are {len(kept)}."
            )
        joining = self.study.unlabelled if self.arm.unlabelled else ()
        if self.arm.unlabelled and not joining:
            raise SettingsError(f"{self.arm.name} needs scans without labels, and there are none.")
        cases = tuple(
            case.model_copy(update={"role": "training"}) for case in (*kept[:wanted], *joining)
        )
        values = {
            "config": self.arm.config(self.study.config, self.network, self.seed),
            "cases": cases,
            "class_names": self.study.class_names,
            "channels": self.study.channels,
            "regions": self.study.regions,
        }
        return validated(RunSpec, values, f"the training {self.name}")


def cells_of(spec: StudySpec) -> Iterator[Cell]:
    """Return every training of a study, those of one seed and fold together.

    Whenever a study is cut, each arm has so been tried on the same seeds and scans.
    """
    folds = [case.name for case in spec.training] if spec.leaves_one_out else [""]
    for seed in spec.seeds:
        for fold in folds:
            for network in spec.networks:
                for arm in spec.arms:
                    yield Cell(network, arm, seed, fold, spec)


def checkpoint_steps(steps: int, count: int) -> tuple[int, ...]:
    """Return the steps after which the student is scored, evenly spaced, the last one last."""
    return tuple(sorted({max(1, round(number * steps / count)) for number in range(1, count + 1)}))


def _plain(name: str) -> str:
    """Return a name that every file system takes."""
    return re.sub(r"[^\w.]+", "_", name).strip("_")
