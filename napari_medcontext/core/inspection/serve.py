"""Answer what is asked about a run and a scan, until nobody asks any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.events import (
    AskDropped,
    AskFailed,
    Event,
    InspectionProgress,
    InspectionReady,
    Preparing,
    RunFinished,
)
from napari_medcontext.core.inspection.asks import Ask, InspectSpec
from napari_medcontext.core.inspection.disagreement import disagreement
from napari_medcontext.core.inspection.folder import InspectFolder
from napari_medcontext.core.inspection.probe import probe
from napari_medcontext.core.inspection.reconstruct import reconstruct
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.subject import Subject, load_networks, load_subject

POLL_SECONDS = 0.05
LOOK_SECONDS = 1.0
"""So often is it asked whether the watcher lives."""
PROGRESS_SECONDS = 0.2

Work = Generator[float, None, Event]
ANSWERS: dict[str, Callable[[Subject, Any, int], Work]] = {
    "reconstruct": reconstruct,
    "disagree": disagreement,
    "probe": probe,
}
"""Who answers which kind of ask."""


def serve(folder: InspectFolder) -> Iterator[Event]:
    """Load what shall be looked into, then answer asks.

    Parameters
    ----------
    folder
        Where asks are. ``stop`` sent to it ends the work, as does the end of the watcher's
        process, and a time without asks.

    Yields
    ------
    Event
        ``InspectionReady``, answers, and ``RunFinished`` at the end.

    Raises
    ------
    MedContextError
        If the run or the scan cannot be used. What is wrong with an ask is an ``AskFailed``.
    """
    spec, run = folder.spec(), RunFolder(folder.spec().run)
    yield Preparing(f"Loading {run.name}", 0, 2)
    predictor = load_networks(run)
    yield Preparing(f"Preparing {spec.scan.name}", 1, 2)
    subject = load_subject(run, predictor, spec.scan)
    yield _ready(subject)
    desk = _Desk(folder, subject)
    patience = _Patience(folder, spec)
    while (reason := patience.ended(busy=desk.is_busy)) is None:
        yield from desk.take_in()
        if desk.is_busy:
            yield from desk.go_on()
        else:
            time.sleep(POLL_SECONDS)
    yield reason


def _ready(subject: Subject) -> InspectionReady:
    predictor = subject.predictor
    return InspectionReady(
        name=subject.scan.name,
        step=subject.run.last_step(),
        device=predictor.compute.title,
        class_names=dict(subject.classes.names),
        hidings=subject.seen.hidings,
        has_teacher=subject.has_teacher,
        mask_axis=subject.mask_axis,
        spacing=predictor.spacing,
        affine=subject.scan.affine,
        image=subject.scan.shown.numpy(),
        reference=subject.reference,
    )


@dataclass
class _Job:
    """An answer in the making."""

    number: int
    work: Work
    told: float = field(default_factory=time.monotonic)


class _Desk:
    """The asks that are not answered yet: one of each kind, the newest."""

    def __init__(self, folder: InspectFolder, subject: Subject) -> None:
        self._folder, self._subject = folder, subject
        self._jobs: dict[str, _Job] = {}
        self._last = 0

    @property
    def is_busy(self) -> bool:
        return bool(self._jobs)

    def take_in(self) -> Iterator[Event]:
        """Take in what was asked and what was given up since the last look."""
        for kind, job in list(self._jobs.items()):
            if self._folder.is_withdrawn(job.number):
                yield self._drop(kind)
        for number in self._folder.numbers():
            if number <= self._last:
                continue
            self._last = number
            if self._folder.is_withdrawn(number):
                yield AskDropped(number)
                continue
            try:
                ask: Ask = self._folder.read(number)
            except MedContextError as error:
                yield AskFailed(number, str(error))
                continue
            if ask.kind in self._jobs:
                yield self._drop(ask.kind)
            self._jobs[ask.kind] = _Job(number, ANSWERS[ask.kind](self._subject, ask, number))

    def go_on(self) -> Iterator[Event]:
        """Do a piece of what was asked last."""
        kind = max(self._jobs, key=lambda kind: self._jobs[kind].number)
        job = self._jobs[kind]
        try:
            fraction = next(job.work)
        except StopIteration as end:
            del self._jobs[kind]
            yield end.value
        except MedContextError as error:
            del self._jobs[kind]
            yield AskFailed(job.number, str(error))
        else:
            if time.monotonic() - job.told >= PROGRESS_SECONDS:
                job.told = time.monotonic()
                yield InspectionProgress(job.number, fraction)

    def _drop(self, kind: str) -> AskDropped:
        job = self._jobs.pop(kind)
        job.work.close()
        return AskDropped(job.number)


class _Patience:
    """When to end: told so, left alone, or forgotten."""

    def __init__(self, folder: InspectFolder, spec: InspectSpec) -> None:
        self._folder, self._spec = folder, spec
        self._asked = self._looked = time.monotonic()

    def ended(self, *, busy: bool) -> RunFinished | None:
        """Return why the work ends, if it does."""
        if self._folder.command() == "stop" or not self._folder.exists():
            return RunFinished("stopped", message="The inspection was ended.")
        now, watcher = time.monotonic(), self._spec.watcher
        if busy:
            self._asked = now
        if now - self._asked > 60 * self._spec.idle_minutes:
            text = f"Nothing was asked for {self._spec.idle_minutes:g} minutes."
            return RunFinished("completed", message=text)
        if watcher is not None and watcher.is_here() and now - self._looked > LOOK_SECONDS:
            self._looked = now
            if not watcher.is_alive():
                return RunFinished("completed", message="The program that asked has ended.")
        return None
