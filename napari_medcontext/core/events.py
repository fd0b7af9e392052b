"""All that the engine tells anyone: frozen messages of plain numbers and NumPy arrays.

An event holds no tensor, no layer and no widget, so that it can cross a thread, a process
and a file. ``EVENTS`` lists every kind by name, for those who write and read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt

Array = npt.NDArray[Any]
FinishReason = Literal["completed", "stopped", "failed"]


@dataclass(frozen=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True)
class Preparing(Event):
    """Scans are being read and resampled.

    ``message`` is for people; ``done`` of ``total`` scans are ready.
    """

    message: str
    done: int
    total: int


@dataclass(frozen=True)
class RunStarted(Event):
    """Training begins, at ``first_step`` (above 0 where a run goes on) of ``steps``.

    ``mask_scheme`` is empty where nothing is hidden.
    """

    first_step: int
    steps: int
    device: str
    precision: str
    parameters: int
    network: str
    method: str
    mask_axis: str
    class_names: Mapping[int, str]
    spacing: tuple[float, float, float]
    validated: bool
    mask_scheme: str = "tube"


@dataclass(frozen=True)
class StepFinished(Event):
    """One optimizer step is done.

    ``losses`` holds ``dice_ce``, ``dice_ce_masked`` and ``consistency`` (Eqs. 2 to 4,
    unweighted), those that the step descended: the last two only where samples were masked,
    the last only with a teacher. ``seconds`` is the step's duration.
    """

    step: int
    losses: Mapping[str, float]
    momentum: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class ValidationFinished(Event):
    """The student was scored on the validation scans: Dice by class id, and their mean."""

    step: int
    dsc: Mapping[int, float]
    mean_dsc: float
    best: bool


@dataclass(frozen=True, eq=False)
class PreviewReady(Event):
    """What the student and the teacher see and say, on the whole preview scan.

    All arrays share one grid, shape ``(x, y, z)``, whose ``affine`` takes indices to
    RAS+ millimetres. Label arrays hold the user's own class ids.
    """

    step: int
    name: str
    affine: Array
    image: Array
    masked: Array
    student_masked: Array
    student: Array
    teacher: Array | None = None
    reference: Array | None = None


@dataclass(frozen=True)
class CheckpointSaved(Event):
    """The state after ``step`` is on disk."""

    step: int


@dataclass(frozen=True)
class Paused(Event):
    """Training waits at ``step`` until it is resumed or stopped."""

    step: int


@dataclass(frozen=True)
class Resumed(Event):
    """Training goes on after a pause."""

    step: int


@dataclass(frozen=True)
class PredictionProgress(Event):
    """``done`` of ``total`` scans are predicted; ``name`` is at ``fraction`` of its windows."""

    name: str
    done: int
    total: int
    fraction: float


@dataclass(frozen=True)
class PredictionSaved(Event):
    """A scan's labels (and, if asked, class probabilities) lie at these paths."""

    name: str
    labels: Path
    probabilities: Path | None
    seconds: float


@dataclass(frozen=True)
class Warned(Event):
    """Something is odd, but the work goes on."""

    message: str


@dataclass(frozen=True)
class StudyProgress(Event):
    """A study begins one of its trainings; ``done`` of ``total`` were before it."""

    name: str
    done: int
    total: int


@dataclass(frozen=True)
class TrainingScored(Event):
    """The student of one training of a study was scored on the test scans.

    ``seconds`` is the time of the steps so far; ``mean_dsc`` is over scans and classes.
    """

    name: str
    step: int
    seconds: float
    mean_dsc: float


@dataclass(frozen=True)
class RunFinished(Event):
    """The last event of every run.

    ``message`` is for people; ``detail`` names the log that has the traceback.
    """

    reason: FinishReason
    step: int = 0
    message: str = ""
    detail: str = ""


EVENTS: Mapping[str, type[Event]] = {kind.__name__: kind for kind in Event.__subclasses__()}
