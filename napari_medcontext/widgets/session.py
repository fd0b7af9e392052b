"""What the docks of one viewer share: the training under way and its events."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from weakref import WeakKeyDictionary

from qtpy.QtCore import QEvent, QObject, Signal
from qtpy.QtWidgets import QMessageBox, QWidget

from napari_medcontext.core.events import Event, PreviewReady, RunStarted, StepFinished
from napari_medcontext.core.run import RunFolder
from napari_medcontext.runners import FolderWatcher, Runner, ThreadRunner, runner_for
from napari_medcontext.widgets.work import Work

CloseChoice = Literal["continue", "stop", "cancel"]


class Session(QObject):
    """The run of one viewer, for whichever docks are open.

    The run outlives its docks, so it is held here and not by a widget.
    """

    event_received = Signal(object)
    """A ``core.events.Event`` of the current run."""

    run_changed = Signal(object)
    """The ``RunFolder`` that is watched from now on, or None."""

    def __init__(self) -> None:
        super().__init__()
        self.run: RunFolder | None = None
        self.recent: dict[type[Event], Event] = {}
        """The newest start and preview, for docks that open in mid-run."""
        self.ask_on_close: Callable[[QWidget, bool], CloseChoice] = ask_on_close
        self._work: Work | None = None

    @property
    def is_training(self) -> bool:
        """Whether a run is under way."""
        return self._work is not None and self._work.is_running

    def train(self, run: RunFolder, prepare: Callable[[], None], kind: str) -> None:
        """Start a run, or go on with it, by a runner of this kind."""
        self._watch(run, runner_for(kind, run), prepare)

    def attach(self, path: Path) -> None:
        """Watch a run that somebody else trains, or show one that has ended."""
        run = RunFolder(path)
        run.spec()
        self._watch(run, FolderWatcher(run), lambda: None)

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

    def watch_window(self, window: QObject) -> None:
        """Ask what becomes of the run when this window is closed."""
        window.installEventFilter(self)

    def eventFilter(self, window: QObject, event: QEvent) -> bool:  # Qt's own name
        """Stop the window's closing if the user changes their mind."""
        if event.type() != QEvent.Type.Close or not self.is_training or self._work is None:
            return False
        assert isinstance(window, QWidget)
        may_continue = not isinstance(self._work.runner, ThreadRunner)
        choice = self.ask_on_close(window, may_continue)
        if choice == "cancel":
            event.ignore()
            return True
        self._work.ignore()
        if choice == "stop":
            self._work.runner.stop()
        self._work.runner.let_go()
        return False

    def _watch(self, run: RunFolder, runner: Runner, prepare: Callable[[], None]) -> None:
        if self._work is not None and self._work.is_running:
            self._work.ignore()
            self._work.runner.let_go()
        self.run = run
        self.recent.clear()
        self._work = Work(runner, prepare, f"Training {run.name}")
        self._work.event_received.connect(self._receive)
        self.run_changed.emit(run)
        self._work.start()

    def _receive(self, event: Event) -> None:
        if isinstance(event, (RunStarted, PreviewReady)):
            self.recent[type(event)] = event
        started = self.recent.get(RunStarted)
        if (
            isinstance(event, StepFinished)
            and isinstance(started, RunStarted)
            and self._work is not None
        ):
            self._work.show_progress(event.step, started.steps)
        self.event_received.emit(event)


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
