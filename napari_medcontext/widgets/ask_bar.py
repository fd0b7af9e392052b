"""The buttons that ask something of a run, and what is told until the answer comes."""

from __future__ import annotations

from qtpy.compat import isalive
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QProgressBar, QVBoxLayout, QWidget

from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.events import InspectionReady
from napari_medcontext.widgets.inspection import Question
from napari_medcontext.widgets.inspector import Inspector, MakeAsk
from napari_medcontext.widgets.parts import Text, button, row, shortcut

LOADING = "Loading the run and the scan; this takes some seconds, the first time only…"
WAITING = "Waiting until what was asked before is answered…"
COMPUTING = "Computing…"
STOPPING = "Stopping…"


class NotLoaded(MedContextError):
    """What to ask can be said only once the run and the scan are loaded."""


class AskBar(QWidget):
    """A button that asks, one that cancels, progress, and a line that says how it went.

    Parameters
    ----------
    name
        Begins the names of the controls.
    text, tip, keys
        The button's words, its tooltip and its shortcut.
    make_ask
        Returns what is asked, from what is loaded, if anything is. ``NotLoaded`` from it loads
        first; another ``MedContextError`` is shown.
    inspector
        Who is asked.
    """

    answered = Signal(object)
    """The event that answers the newest question."""
    ended = Signal()
    """The newest question has been answered, refused or given up."""

    def __init__(
        self,
        name: str,
        text: str,
        tip: str,
        keys: str,
        make_ask: MakeAsk,
        inspector: Inspector,
    ) -> None:
        super().__init__()
        self._make_ask, self._inspector = make_ask, inspector
        self._question: Question | None = None
        self.ask_button = button(f"{name}_ask", text, tip, self.ask)
        shortcut(self.ask_button, keys)
        self.cancel_button = button(f"{name}_cancel", "Cancel", "Stop computing.", self.cancel)
        self.cancel_button.setEnabled(False)
        self.progress = QProgressBar()
        self.progress.setObjectName(f"{name}_progress")
        self.progress.setRange(0, 100)
        self.progress.setTextVisible(False)
        self.progress.setVisible(False)
        self.message = Text(f"{name}_message")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row(self.ask_button, self.cancel_button))
        layout.addWidget(self.progress)
        layout.addWidget(self.message)
        inspector.ready.connect(self._tell_ready)

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is still to come."""
        return self._question is not None

    def ask(self) -> None:
        """Ask, in place of what was asked before."""
        try:
            question = self._asked()
        except MedContextError as error:
            self._question = None
            self._end(f"⚠ {error}")
            self.ended.emit()
            return
        self._question = question
        question.progressed.connect(lambda share: self._advance(question, share))
        question.answered.connect(lambda event: self._answer(question, event))
        question.failed.connect(lambda message: self._refuse(question, message))
        self._tell_begun(question)
        self.progress.setValue(0)
        self.progress.setVisible(True)
        self.cancel_button.setEnabled(True)

    def _asked(self) -> Question:
        try:
            return self._inspector.ask(self._make_ask)
        except NotLoaded:
            return self._inspector.load()

    def cancel(self) -> None:
        """Give the question up."""
        if self._question is not None:
            self._question.withdraw()
            self.message.setText(STOPPING)

    def tell(self, text: str) -> None:
        """Say something beneath the buttons."""
        self.message.setText(text)

    def _tell_ready(self) -> None:
        if self._question is not None:
            self._tell_begun(self._question)

    def _tell_begun(self, question: Question) -> None:
        if self._inspector.loaded is None:
            self.message.setText(LOADING)
        else:
            self.message.setText(WAITING if question.waits else COMPUTING)

    def _awaits(self, question: Question) -> bool:
        """Say whether a question is the newest; a dock that was closed awaits none."""
        return isalive(self) and question is self._question

    def _advance(self, question: Question, share: float) -> None:
        if self._awaits(question):
            self.progress.setValue(round(100 * share))
            if self.message.text() == WAITING:
                self.message.setText(COMPUTING)

    def _answer(self, question: Question, event: object) -> None:
        if not self._awaits(question):
            return
        self._question = None
        if isinstance(event, InspectionReady):
            self.ask()
        else:
            self._end("")
            self.answered.emit(event)
            self.ended.emit()

    def _refuse(self, question: Question, message: str) -> None:
        if self._awaits(question):
            self._question = None
            self._end(f"⚠ {message}" if message else "Cancelled.")
            self.ended.emit()

    def _end(self, text: str) -> None:
        self.message.setText(text)
        self.progress.setVisible(False)
        self.cancel_button.setEnabled(False)
