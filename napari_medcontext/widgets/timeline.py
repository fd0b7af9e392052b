"""Through time: a run's previews at the steps that it kept, looked through or played."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt, QTimer
from qtpy.QtGui import QHideEvent, QKeySequence, QShortcut, QShowEvent
from qtpy.QtWidgets import QPushButton, QSlider, QVBoxLayout, QWidget

from napari_medcontext.core.events import Event, PreviewReady
from napari_medcontext.core.timeline import Timeline
from napari_medcontext.widgets.inspect_inputs import InspectInputs
from napari_medcontext.widgets.inspect_panels import InspectPanels
from napari_medcontext.widgets.latest import Latest
from napari_medcontext.widgets.parts import Text, button, row
from napari_medcontext.widgets.session import session_of

MILLISECONDS_A_STEP = 500
"""Least time that a step is in sight while it plays; slow drawing makes it longer."""
NO_STEPS = (
    "This run has kept no previews yet. They come while it trains, unless “kept previews” or "
    "“preview every” is 0 in its settings."
)
NO_RUN = "Choose a run to see how its answers came about."


class TimelineView(QWidget):
    """A slider over a run's kept previews, and a button that plays them.

    Parameters
    ----------
    viewer
        The napari viewer, whose run under way adds steps.
    inputs
        The run.
    panels
        Where a step is shown.
    """

    def __init__(self, viewer: Any, inputs: InspectInputs, panels: InspectPanels) -> None:
        super().__init__()
        self._inputs, self._panels = inputs, panels
        self._steps: list[int] = []
        self._timeline: Timeline | None = None
        self._reader = Latest(self)
        self._reader.done.connect(self._show)
        self._reader.failed.connect(self._fail)
        self._clock = QTimer(self, singleShot=True, interval=MILLISECONDS_A_STEP)
        self._clock.timeout.connect(self._play_on)
        self._session = session_of(viewer)
        self._build()
        panels.panels.shown.connect(self._go_on)
        inputs.changed.connect(self._change_run)
        self._session.event_received.connect(self._receive)
        self._change_run()

    @property
    def is_playing(self) -> bool:
        """Whether the steps follow each other by themselves."""
        return bool(self.play_button.isChecked())

    def refresh(self) -> None:
        """Look for steps that were kept or given up since; the shown one stays, if it is there."""
        run = self._inputs.run
        chosen = self._step()
        if run is None or self._timeline is None:
            self._timeline = None if run is None else Timeline(run.path)
        self._steps = [] if self._timeline is None else self._timeline.steps()
        with QSignalBlocker(self.slider):
            self.slider.setRange(0, max(len(self._steps) - 1, 0))
            if chosen in self._steps:
                self.slider.setValue(self._steps.index(chosen))
        for widget in (self.slider, self.play_button, self.back_button, self.forth_button):
            widget.setEnabled(bool(self._steps))
        if not self._steps:
            self.message.setText(NO_RUN if run is None else NO_STEPS)
        elif not self.message.text().startswith("Step"):
            self.message.setText(
                f"{len(self._steps)} steps were kept. Move the slider or press Play."
            )

    def play(self, on: bool) -> None:
        """Play from the step in sight, from the first if that is the last; or stop."""
        self.play_button.setText("Stop" if on else "Play")
        if not on:
            self._clock.stop()
            return
        self.refresh()
        if self.slider.value() == self.slider.maximum():
            self.slider.setValue(0)
        self._ask()

    def _build(self) -> None:
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setObjectName("timeline_slider")
        self.slider.setToolTip("The training step whose answers are shown. Keys: arrows.")
        self.slider.setPageStep(1)
        self.slider.setTickPosition(QSlider.TickPosition.TicksBelow)
        self.slider.valueChanged.connect(self._ask)
        self.play_button = QPushButton(
            "Play",
            objectName="timeline_play",
            toolTip="Show one kept step after the other. Keys: Alt+Shift+P.",
            checkable=True,
        )
        self.play_button.toggled.connect(self.play)
        # A shortcut of the button itself would be lost with its text.
        QShortcut(QKeySequence("Alt+Shift+P"), self, activated=self.play_button.toggle)
        self.back_button = self._arrow("timeline_back", "◂", -1, "Left")
        self.forth_button = self._arrow("timeline_forth", "▸", 1, "Right")
        self.message = Text("timeline_message", NO_RUN)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row(self.back_button, self.slider, self.forth_button, self.play_button))
        layout.addWidget(self.message)

    def _arrow(self, name: str, text: str, move: int, key: str) -> Any:
        where = "before" if move < 0 else "after"
        made = button(
            name,
            text,
            f"Show the kept step {where} this one. Keys: Alt+Shift+{key}.",
            lambda: self.slider.setValue(self.slider.value() + move),
        )
        made.setFixedWidth(32)
        QShortcut(QKeySequence(f"Alt+Shift+{key}"), self, activated=made.click)
        return made

    def showEvent(self, event: QShowEvent | None) -> None:
        """Look for steps that came while this was out of sight."""
        super().showEvent(event)
        self.refresh()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """Play to nobody."""
        super().hideEvent(event)
        self.play_button.setChecked(False)

    def _step(self) -> int | None:
        place = self.slider.value()
        return self._steps[place] if place < len(self._steps) else None

    def _ask(self) -> None:
        timeline, step = self._timeline, self._step()
        if timeline is not None and step is not None:
            self._reader.ask(lambda: (timeline, timeline.read(step)))

    def _show(self, answer: tuple[Timeline, PreviewReady]) -> None:
        timeline, preview = answer
        if timeline is not self._timeline:
            return
        last = self._steps[-1] if self._steps else preview.step
        text = f"Step {preview.step} of {last}"
        self.message.setText(text)
        self._panels.show_answers(preview, timeline.class_names, f"{text} · {preview.name}")

    def _go_on(self) -> None:
        """Show the next step a while after this one was drawn."""
        if self.is_playing:
            self._clock.start()

    def _play_on(self) -> None:
        if self.slider.value() < self.slider.maximum():
            self.slider.setValue(self.slider.value() + 1)
        else:
            self.play_button.setChecked(False)

    def _fail(self, text: str) -> None:
        self.play_button.setChecked(False)
        self._timeline = None
        self.refresh()
        self.message.setText(f"⚠ {text}")

    def _change_run(self) -> None:
        run = self._inputs.run
        self.play_button.setChecked(False)
        self._timeline = None if run is None else Timeline(run.path)
        self.message.setText("")
        self.refresh()

    def _receive(self, event: Event) -> None:
        run, own = self._inputs.run, self._session.run
        if not isinstance(event, PreviewReady) or run is None or own is None:
            return
        if run.path == own.path and self.isVisible():
            self.refresh()
