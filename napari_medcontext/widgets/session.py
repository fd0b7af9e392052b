"""What the docks of one viewer share: training, comparison, prediction, inspection under way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, QTimer, Signal
from qtpy.QtWidgets import QMessageBox, QWidget

from napari_medcontext.core.events import (
    Event,
    Paused,
    PreviewReady,
    Resumed,
    RunFinished,
    RunStarted,
    StepFinished,
    StudyProgress,
)
from napari_medcontext.core.folder import WorkFolder
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.study.plan import StudyFolder
from napari_medcontext.runners import (
    FolderWatcher,
    ProcessRunner,
    Runner,
    ThreadRunner,
    runner_for,
)
from napari_medcontext.widgets.work import Work

if TYPE_CHECKING:
    from napari_medcontext.widgets.inspection import Inspection
    from napari_medcontext.widgets.prediction import Prediction

CloseChoice = Literal["continue", "stop", "cancel"]


class Session(QObject):
    """The run and the prediction of one viewer, for whichever docks are open.

    Both outlive their docks, so they are held here and not by a widget.
    """

    event_received = Signal(object)
    """A ``core.events.Event`` of the current run."""

    run_changed = Signal(object)
    """The ``RunFolder`` that is watched from now on; None for a comparison of methods."""

    def __init__(self) -> None:
        super().__init__()
        self.run: RunFolder | None = None
        self.recent: dict[type[Event], Event] = {}
        """The newest start, step and preview, a pause, and a comparison's training, for docks that
        open in mid-run."""
        self.prediction: Prediction | None = None
        """The prediction under way, if any."""
        self.inspection: Inspection | None = None
        """What holds a run and a scan ready for questions, if any."""
        self.ask_on_close: Callable[[QWidget, bool], CloseChoice] = ask_on_close
        self._work: Work | None = None
        self._closing = False

    @property
    def is_training(self) -> bool:
        """Whether a run, or a comparison of methods, is under way."""
        return self._work is not None and self._work.is_running

    @property
    def folder(self) -> WorkFolder | None:
        """The folder of the run or comparison that is watched, or was last."""
        return None if self._work is None else self._work.runner.folder

    def train(self, run: RunFolder, prepare: Callable[[], None], kind: str) -> None:
        """Start a run, or go on with it, by a runner of this kind."""
        self._watch(run, runner_for(kind, run), prepare, f"Training {run.name}")

    def compare(self, study: StudyFolder, prepare: Callable[[], None]) -> None:
        """Start a comparison of methods, or go on with it; watch one that is alive."""
        runner: Runner = FolderWatcher(study) if study.is_alive() else ProcessRunner(study)
        self._watch(None, runner, prepare, f"Comparing methods in {study.name}")

    def attach(self, path: Path) -> None:
        """Watch a run that somebody else trains, or show one that has ended."""
        run = RunFolder(path)
        run.spec()
        self._watch(run, FolderWatcher(run), lambda: None, f"Training {run.name}")

    def pause(self) -> None:
        """Ask the run to wait."""
        if self._work is not None:
            self._work.runner.pause()

    def resume(self) -> None:
        """Let the run go on."""
        if self._work is not None:
            self._work.runner.resume()

    def stop(self) -> None:
        """Ask the run to save and end."""
        if self._work is not None:
            self._work.runner.stop()

    def predict(self, prediction: Prediction) -> None:
        """Start a prediction and hold it to its end, whatever becomes of its dock."""
        self.prediction = prediction
        prediction.ended.connect(self._drop_prediction)
        prediction.start()

    def inspect(self, inspection: Inspection) -> None:
        """Hold a run and a scan ready for questions, in place of those before."""
        self.end_inspection()
        self.inspection = inspection
        inspection.start()

    def end_inspection(self) -> None:
        """Answer no more questions."""
        if self.inspection is not None:
            self.inspection.let_go()
            self.inspection = None

    def watch_window(self, window: QObject) -> None:
        """Ask what becomes of the run when this window is closed."""
        window.installEventFilter(self)

    def eventFilter(self, window: QObject, event: QEvent) -> bool:  # Qt's own name
        """Stop the window's closing if the user changes their mind."""
        if event.type() != QEvent.Type.Close:
            return False
        if event.spontaneous():
            return self.is_training and self._close_by_program(window, event)
        if self.is_training and not self._let_run_go(window):
            event.ignore()
            return True
        if self.prediction is not None:
            self.prediction.let_go()
            self._drop_prediction()
        self.end_inspection()
        return False

    def _drop_prediction(self) -> None:
        # It knows the viewer, which a session must not keep alive.
        self.prediction = None

    def _close_by_program(self, window: QObject, event: QEvent) -> bool:
        """Put a close by the user aside for one of our own, so that one question is asked.

        napari asks about closes by the user, after us: a no to it would come too late for a
        run that was let go.
        """
        event.ignore()
        if not self._closing:
            self._closing = True
            QTimer.singleShot(0, lambda: self._close(window))
        return True

    def _close(self, window: QObject) -> None:
        self._closing = False
        if isalive(window):
            window.close()

    def _let_run_go(self, window: QObject) -> bool:
        """Ask what becomes of the run, and see to it; False if the window stays."""
        assert isinstance(window, QWidget)
        assert self._work is not None
        runner = self._work.runner
        choice = self.ask_on_close(window, not isinstance(runner, ThreadRunner))
        if choice == "cancel":
            return False
        if choice == "stop":
            runner.stop()
        elif runner.folder.command() == "pause":
            # Nobody would be there to let it go on.
            runner.resume()
        self._work.let_go()
        return True

    def _watch(
        self, run: RunFolder | None, runner: Runner, prepare: Callable[[], None], title: str
    ) -> None:
        if self._work is not None:
            self._work.let_go()
        self.run = run
        self.recent.clear()
        self._work = Work(runner, prepare, title)
        self._work.event_received.connect(self._receive)
        self.run_changed.emit(run)
        self._work.start()

    def _receive(self, event: Event) -> None:
        if isinstance(event, (StudyProgress, RunStarted, StepFinished, PreviewReady, Paused)):
            self.recent[type(event)] = event
        if isinstance(event, StudyProgress):
            # Those of the training before it.
            self.recent.pop(RunStarted, None)
            self.recent.pop(StepFinished, None)
        if isinstance(event, (RunStarted, Resumed, RunFinished)):
            self.recent.pop(Paused, None)
        if isinstance(event, StepFinished):
            self._show_progress(event)
        self.event_received.emit(event)

    def _show_progress(self, event: StepFinished) -> None:
        started, part = self.recent.get(RunStarted), self.recent.get(StudyProgress)
        if isinstance(started, RunStarted) and self._work is not None:
            done, total = (part.done, part.total) if isinstance(part, StudyProgress) else (0, 1)
            self._work.show_progress(done + event.step / started.steps, total)


_sessions: WeakKeyDictionary[Any, Session] = WeakKeyDictionary()


def real_viewer(viewer: Any) -> Any:
    """Return the viewer behind the proxy that napari hands to docks."""
    return getattr(viewer, "__wrapped__", viewer)


def session_of(viewer: Any) -> Session:
    """Return the session of a viewer, or of a proxy of it; always the same one."""
    viewer = real_viewer(viewer)
    if viewer not in _sessions:
        session = Session()
        window = getattr(getattr(viewer, "window", None), "_qt_window", None)
        if window is not None:
            session.watch_window(window)
        _sessions[viewer] = session
    return _sessions[viewer]


def ask_on_close(window: QWidget, may_continue: bool) -> CloseChoice:
    """Ask whether a run goes on without its window."""
    box = QMessageBox(window)
    box.setWindowTitle("A training is under way")
    box.setText("napari is closing while a network is being trained.")
    box.setInformativeText("What was learned so far is saved either way.")
    buttons: dict[Any, CloseChoice] = {}
    if may_continue:
        going_on = box.addButton("Let it go on in the background", QMessageBox.AcceptRole)
        buttons[going_on] = "continue"
    buttons[box.addButton("Stop training", QMessageBox.DestructiveRole)] = "stop"
    buttons[box.addButton("Keep napari open", QMessageBox.RejectRole)] = "cancel"
    box.exec()
    return buttons.get(box.clickedButton(), "cancel")
