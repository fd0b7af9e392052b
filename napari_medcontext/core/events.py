"""All that the engine tells anyone: frozen messages of plain numbers and NumPy arrays.

An event holds no tensor, no layer and no widget, so that it can cross a thread, a process
and a file. ``EVENTS`` lists every kind by name, for those who write and read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
class Fetching(Event):
    """A public data set is on its way: ``done`` of ``total`` bytes; 0 where that is not known.

    ``message`` is for people.
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
class PredictionFailed(Event):
    """A scan could not be read or predicted, and why; the next one is taken."""

    name: str
    reason: str


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


@dataclass(frozen=True, eq=False)
class InspectionReady(Event):
    """A run and a scan are loaded; asks about them are answered from now on.

    ``image`` and all later arrays share one grid, shape ``(x, y, z)`` in RAS, whose ``affine``
    takes indices to RAS+ millimetres; ``reference`` holds the user's own class ids. ``hidings``
    are the ways in which something can be hidden: without ``"token"`` where the run learned none.
    ``mask_axis`` is what a masking axis of ``"auto"`` means for this scan. ``step`` is how long
    the run had trained.
    """

    name: str
    step: int
    device: str
    class_names: Mapping[int, str]
    hidings: tuple[str, ...]
    has_teacher: bool
    mask_axis: str
    spacing: tuple[float, float, float]
    affine: Array
    image: Array
    reference: Array | None = None


@dataclass(frozen=True)
class InspectionProgress(Event):
    """The answer to an ask, by its number, is at ``fraction`` of its windows."""

    ask: int
    fraction: float


@dataclass(frozen=True, eq=False)
class Reconstructed(Event):
    """What the student makes of a scan with a part of it hidden; the answer to an ask.

    The arrays up to ``reference`` are those of a ``PreviewReady``; ``mask`` is true where hidden.
    ``hidden`` says which share of each labelled class is. ``dsc_inside`` and ``dsc_outside``
    score ``student_masked`` where the scan is hidden and where it is not, by class id, and
    ``dsc_visible`` scores ``student`` where the scan is hidden in the other: they are empty
    without labels, and ``nan`` for a class that is in neither there.
    """

    ask: int
    name: str
    affine: Array
    image: Array
    masked: Array
    student_masked: Array
    student: Array
    mask: Array
    share: float
    seconds: float
    hidden: Mapping[int, float] = field(default_factory=dict)
    dsc_inside: Mapping[int, float] = field(default_factory=dict)
    dsc_outside: Mapping[int, float] = field(default_factory=dict)
    dsc_visible: Mapping[int, float] = field(default_factory=dict)
    teacher: Array | None = None
    reference: Array | None = None


@dataclass(frozen=True, eq=False)
class DisagreementFound(Event):
    """Where the networks' answers differ; the answer to an ask.

    ``disagreement`` is float32 in [0, 1], shape ``(x, y, z)``. ``by_slice`` is its mean over
    each slice along ``axis``, and ``worst`` holds the slices' indices, the largest mean first.
    """

    ask: int
    name: str
    affine: Array
    disagreement: Array
    axis: str
    by_slice: Array
    worst: Array
    draws: int
    with_teacher: bool
    seconds: float


@dataclass(frozen=True)
class ProbeFinished(Event):
    """The context probe of a scan; the answer to an ask.

    Each row is what ``core.probe.ProbeRow`` is made of, by name.
    """

    ask: int
    name: str
    rows: tuple[Mapping[str, Any], ...]
    seconds: float


@dataclass(frozen=True)
class AskFailed(Event):
    """An ask cannot be answered; ``message`` is for people. Others are answered still."""

    ask: int
    message: str


@dataclass(frozen=True)
class AskDropped(Event):
    """An ask is not answered any more: it was withdrawn, or a newer one took its place."""

    ask: int


@dataclass(frozen=True)
class ProbeProgress(Event):
    """``done`` of ``total`` scans of all runs are probed; ``name`` is at ``fraction``."""

    name: str
    done: int
    total: int
    fraction: float


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
