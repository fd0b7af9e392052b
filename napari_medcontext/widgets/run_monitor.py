"""What is seen of a run under way, and the buttons that pause and stop it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QProgressBar, QWidget

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.events import (
    Event,
    Paused,
    Preparing,
    Resumed,
    RunFinished,
    RunStarted,
    StepFinished,
    StudyProgress,
    TrainingScored,
    Warned,
)
from napari_medcontext.core.run import RunFolder
from napari_medcontext.widgets.beat import Beat
from napari_medcontext.widgets.curves import Curves
from napari_medcontext.widgets.pace import Pace, minutes_text
from napari_medcontext.widgets.parts import Text, button
from napari_medcontext.widgets.run_log import logged_events
from napari_medcontext.widgets.session import Session


class RunMonitor(QObject):
    """Follows the run of a session; its dock lays out the widgets.

    Parameters
    ----------
    session
        Whose run is followed.
    dock
        That with which it ends.
    """

    running_told = Signal(bool)
    """Whether a run is under way; told whenever that may have changed."""
    ended = Signal()
    """A run has ended, in whatever way."""

    def __init__(self, session: Session, dock: QWidget) -> None:
        super().__init__(dock)
        self.completed: Path | None = None
        """The folder of the run that was followed to its last step, until another run begins."""
        self._session = session
        self._steps, self._paused = 0, False
        self._step = 0
        self._learning = ""
        """What is said while nothing else is to be told."""
        self._part: StudyProgress | None = None
        """Which training of a comparison is under way."""
        self._beat = Beat(self, self._show_step)
        self._pace: Pace | None = None
        self.pause_button = button(
            "train_pause", "Pause", "Wait after the current step; press again to go on.", self.pause
        )
        self.stop_button = button(
            "train_stop", "Stop", "End after the current step; what was learned is kept.", self.stop
        )
        self.progress = QProgressBar()
        self.progress.setObjectName("train_progress")
        self.progress.setFormat("")
        self.message = Text("train_message")
        self.curves = Curves()
        session.event_received.connect(self._receive)

    def pause(self) -> None:
        """Pause, or go on after a pause."""
        if self._paused:
            self._session.resume()
        else:
            self._session.pause()
            self.message.setText("Pausing after this step…")

    def stop(self) -> None:
        """Save and end."""
        self._session.stop()
        self.message.setText("Stopping after this step; what was learned is kept…")

    def begin(self, name: str, config: RunConfig | None) -> None:
        """Make ready for a run or a comparison that is about to start.

        Parameters
        ----------
        name
            What its folder is called.
        config
            The run's settings; without them no time is told.
        """
        self._part = None
        self._paused, self._pace = False, None if config is None else Pace(config)
        self.curves.clear()
        self.curves.prepare()
        self.progress.setRange(0, 0)
        self.message.setText(f"Preparing {name}…")
        self._show_state(running=True)

    def join(self) -> None:
        """Show the run that is under way already, if any: docks come and go, a run stays."""
        self._show_state()
        run, folder, recent = self._session.run, self._session.folder, self._session.recent
        if folder is None or not self._session.is_training:
            return
        config = None
        with suppress(MedContextError):  # as long as its scans are prepared, nothing is written
            config = None if run is None else run.spec().config
        self.begin(folder.name, config)
        for kind in (StudyProgress, RunStarted):
            if kind in recent:
                self._receive(recent[kind])
        if RunStarted in recent and run is not None:
            self.show_log(run)
        for kind in (StepFinished, Paused):
            if kind in recent:
                self._receive(recent[kind])

    def show_log(self, run: RunFolder) -> None:
        """Draw the steps that a run has done before."""
        for event in logged_events(run):
            self.curves.receive(event)

    def tell_error(self, text: str) -> None:
        """Say what went wrong, here and as napari does."""
        self.message.setText(f"⚠ {text}")
        show_error(text)

    def _receive(self, event: Event) -> None:
        self.curves.receive(event)
        match event:
            case Preparing(message=message):
                self._tell(f"{message}…")
            case StudyProgress():
                self._begin_part(event)
            case TrainingScored(step=step, mean_dsc=dsc):
                self._beat.stop()
                self._tell(f"After step {step} of {self._steps}: DSC {dsc:.3f} on other scans.")
            case RunStarted(steps=steps, first_step=first):
                self._steps, self._paused = steps, False
                self.progress.setRange(0, steps)
                self._step = first
                self._show_step()
                self._learning = f"Training {event.network} on {event.device}."
                self._tell(self._learning)
                self._show_state()
            case StepFinished():
                self._follow_step(event)
            case Paused(step=step):
                self._paused = True
                self._beat.stop()
                self._step = step
                if self._pace is not None:
                    self._pace.wait()
                self._show_step()
                self._tell(f"Paused after step {step} of {self._steps}.")
                self._show_state()
            case Resumed():
                self._paused = False
                self._tell(self._learning)
                self._show_state()
            case Warned(message=message):
                show_info(message)
            case RunFinished():
                self._end(event)

    def _end(self, event: RunFinished) -> None:
        self._beat.stop()
        # A comparison counts its trainings; one that was complete before has none to tell of.
        of_run = self._steps if self._session.run is not None else event.step
        self.progress.setRange(0, self._part.total if self._part else max(1, of_run))
        self.progress.setValue(event.step)
        self.progress.setFormat("")
        self._paused = False
        if self._pace is not None:
            self._pace.remember()
        if event.reason == "completed" and self._session.run is not None:
            self.completed = self._session.run.path
        if event.reason == "failed":
            self.tell_error(event.message)
        else:
            self.message.setText(event.message)
            show_info(event.message)
        self._show_state()
        self.ended.emit()

    def _begin_part(self, part: StudyProgress) -> None:
        """Make ready for a training of a comparison; the one before it is forgotten."""
        self._part, self._pace = part, Pace()
        self._beat.stop()
        self.curves.clear()
        self.progress.setRange(0, 0)
        self._tell("Preparing…")

    def _follow_step(self, event: StepFinished) -> None:
        if self._pace is not None:
            self._pace.step(event.step, event.seconds)
        self._step = event.step
        self._beat.start()

    def _show_step(self) -> None:
        """Say on the bar how far the run is: a label's text would lay out the whole dock anew."""
        # Qt paints a new value at once, and composes the window for it, where it may.
        self.progress.setUpdatesEnabled(False)
        self.progress.setValue(self._step)
        self.progress.setFormat(f"Step {self._step} of {self._steps}{self._time_left()}")
        self.progress.setUpdatesEnabled(True)

    def _tell(self, text: str) -> None:
        """Say how it goes, and in a comparison with which of its trainings."""
        part = self._part
        lead = f"Training {part.done + 1} of {part.total}, {part.name}. " if part else ""
        self.message.setText(f"{lead}{text}")

    def _time_left(self) -> str:
        seconds = None if self._pace is None else self._pace.seconds_left(self._steps)
        whole = " of this training" if self._part else ""
        return "" if seconds is None else f" · {minutes_text(seconds)} left{whole}"

    def _show_state(self, running: bool | None = None) -> None:
        running = self._session.is_training if running is None else running
        self.pause_button.setEnabled(running)
        self.stop_button.setEnabled(running)
        self.pause_button.setText("Go on" if self._paused else "Pause")
        self.running_told.emit(running)
