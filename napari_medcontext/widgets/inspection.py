"""A run and a scan held ready by a child process, which answers what is asked about them."""

from __future__ import annotations

import tempfile

from napari.utils.notifications import show_info
from qtpy.QtCore import QObject, Signal

from napari_medcontext.core.events import (
    AskDropped,
    AskFailed,
    DisagreementFound,
    Event,
    InspectionProgress,
    InspectionReady,
    ProbeFinished,
    Reconstructed,
    RunFinished,
    Warned,
)
from napari_medcontext.core.folder import ProcessId
from napari_medcontext.core.inspection import Ask, InspectFolder, InspectSpec
from napari_medcontext.core.run import RunFolder
from napari_medcontext.snapshots import Scan, planned_cases, writer
from napari_medcontext.widgets.child_work import ChildWork

SCANS, PREVIEWS = "scans", "previews"
"""Folders in the work's own: the scan, and what is computed of it."""
LOAD = 0
"""The number of the question whether all is loaded; those in the folder begin with 1."""
IDLE_MINUTES = 5.0
"""After so long without a question the child ends; the next question starts another."""


class Question(QObject):
    """Something asked; it ends with one answer, or with the words why there is none."""

    progressed = Signal(float)
    """Share of the work that is done, 0 to 1."""
    answered = Signal(object)
    """The event that answers it."""
    failed = Signal(str)
    """Why it is not answered; empty where it was given up."""

    def __init__(self, inspection: Inspection, number: int, waits: bool = False) -> None:
        super().__init__()
        self._inspection, self._number = inspection, number
        self.waits = waits
        """Whether others were asked before it that have no answer yet."""

    def withdraw(self) -> None:
        """Give it up."""
        self._inspection.withdraw(self._number)


class Inspection(ChildWork):
    """Questions about one run and one scan, and the process that answers them.

    Parameters
    ----------
    run
        Whose networks answer.
    scan
        The scan and its labels, as they are now.
    """

    ready = Signal(object)
    """The ``InspectionReady`` of its run and scan, once they are loaded."""

    def __init__(self, run: RunFolder, scan: Scan) -> None:
        folder = InspectFolder(tempfile.mkdtemp(prefix="medcontext-inspect-"))
        (case,) = planned_cases([scan], folder.path / SCANS)
        write_scan = writer([scan], [case], run.spec().config.data)
        spec = InspectSpec(
            run=run.path, scan=case, watcher=ProcessId.own(), idle_minutes=IDLE_MINUTES
        )

        def prepare() -> None:
            write_scan()
            folder.create(spec)

        super().__init__(folder, prepare, f"Looking into {run.name}", (SCANS, PREVIEWS))
        self.loaded: InspectionReady | None = None
        """What is known of run and scan, once they are loaded."""
        self._folder = folder
        self._questions: dict[int, Question] = {}

    def ask(self, ask: Ask) -> Question:
        """Ask something; an older question of its kind is given up.

        Raises
        ------
        MedContextError
            If it cannot be written down.
        """
        number = self._folder.ask(ask)
        question = self._questions[number] = Question(self, number, bool(self._questions))
        return question

    def load(self) -> Question:
        """Ask for nothing but that run and scan are loaded; the answer is ``InspectionReady``."""
        question = self._questions[LOAD] = Question(self, LOAD)
        return question

    def withdraw(self, number: int) -> None:
        """Give a question up."""
        if number == LOAD:
            self._refuse(LOAD, "")
        elif self.is_running and number in self._questions:
            self._folder.withdraw(number)

    def let_go(self) -> None:
        """End at once; questions that are open end too."""
        super().let_go()
        self._end("")

    def _receive(self, event: Event) -> None:
        match event:
            case InspectionReady():
                self.loaded = event
                self.ready.emit(event)
                self._answer(LOAD, event)
            case InspectionProgress(ask=number, fraction=fraction):
                if number in self._questions:
                    self._work.show_progress(fraction, 1)
                    self._questions[number].progressed.emit(fraction)
            case Reconstructed() | DisagreementFound() | ProbeFinished():
                self._answer(event.ask, event)
            case AskFailed(ask=number, message=message):
                self._refuse(number, message)
            case AskDropped(ask=number):
                self._refuse(number, "")
            case Warned(message=message):
                show_info(message)
            case RunFinished(message=message):
                self._end(message)

    def _answer(self, number: int, event: Event) -> None:
        if (question := self._questions.pop(number, None)) is not None:
            question.answered.emit(event)

    def _refuse(self, number: int, message: str) -> None:
        if (question := self._questions.pop(number, None)) is not None:
            question.failed.emit(message)

    def _end(self, message: str) -> None:
        for number in list(self._questions):
            self._refuse(number, message)
