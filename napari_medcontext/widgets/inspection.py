"""A run and a scan held ready by a child process, which answers what is asked about them."""

from __future__ import annotations

import shutil
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
from napari_medcontext.widgets.mortal import MortalRunner
from napari_medcontext.widgets.work import Work

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

    def __init__(self, inspection: Inspection, number: int) -> None:
        super().__init__()
        self._inspection, self._number = inspection, number

    def withdraw(self) -> None:
        """Give it up."""
        self._inspection.withdraw(self._number)


class Inspection(QObject):
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
        super().__init__()
        self.loaded: InspectionReady | None = None
        """What is known of run and scan, once they are loaded."""
        self._folder = InspectFolder(tempfile.mkdtemp(prefix="medcontext-inspect-"))
        self._questions: dict[int, Question] = {}
        (case,) = planned_cases([scan], self._folder.path / "scans")
        write_scan = writer([scan], [case], run.spec().config.data.ignore_label)
        spec = InspectSpec(
            run=run.path, scan=case, watcher=ProcessId.own(), idle_minutes=IDLE_MINUTES
        )

        def prepare() -> None:
            write_scan()
            self._folder.create(spec)

        title = f"Looking into {run.name}"
        self._work = Work(MortalRunner(self._folder), prepare, title, self._clean_up)
        self._work.event_received.connect(self._receive)

    @property
    def is_running(self) -> bool:
        """Whether it answers."""
        return self._work.is_running

    def start(self) -> None:
        """Begin; returns at once."""
        self._work.start()

    def ask(self, ask: Ask) -> Question:
        """Ask something; an older question of its kind is given up.

        Raises
        ------
        MedContextError
            If it cannot be written down.
        """
        number = self._folder.ask(ask)
        question = self._questions[number] = Question(self, number)
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
        """End at once: the window is closing, or another run or scan is asked about."""
        self._work.let_go()
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

    def _clean_up(self, last: RunFinished | None) -> None:
        """Delete the folder, but for a log to which the last message sends the user."""
        if last is not None and str(self._folder.path) in last.message:
            shutil.rmtree(self._folder.path / "scans", ignore_errors=True)
            shutil.rmtree(self._folder.path / "previews", ignore_errors=True)
        else:
            shutil.rmtree(self._folder.path, ignore_errors=True)
