"""One phase of ``gui_latency.py``: a napari window, its real docks, and a timer that counts gaps.

Started as ``python latency_window.py TASK.json`` in a process of its own.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.events import Event, RunFinished, StepFinished

TICK_MS, SCROLL_MS = 10, 100
WINDOW = (1600, 1000)
PREVIEW_SECONDS = 10.0
SETTLE_SECONDS = 4.0
PATIENCE_SECONDS = 300.0
STUCK_MS = 150
ENDLESS = 1_000_000
TOLD = {
    "Preparing": "preparing",
    "RunStarted": "run started",
    "PreviewReady": "preview arrived",
    "CheckpointSaved": "state saved",
    "RunFinished": "run finished",
}
"""Events that may explain a gap; of the steps only the first is told."""


@dataclass(frozen=True)
class Task:
    """All that one window needs to know; passed to its process as JSON."""

    runner: str
    scrolls: bool
    seconds: float
    scans: list[list[str]]
    spacing: tuple[float, float, float] | None
    run: str
    result: str
    stacks: bool


def settings(spacing: tuple[float, float, float] | None, previews: bool = True) -> RunConfig:
    """Return the same settings for the window and the terminal."""
    return RunConfig().updated(
        {
            "network": {"name": "unet", "size": "small"},
            "data": {"spacing": spacing},
            "training": {
                "steps": ENDLESS,
                "preview_every": PREVIEW_SECONDS if previews else 0.0,
                # The terminal's preview scan counts as a validation scan, which is not scored.
                "validate_every": ENDLESS,
            },
        }
    )


class GapRecorder:
    """Note by how many milliseconds each tick of the GUI thread's timer comes late."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.gaps: list[tuple[float, float, float]] = []
        self.events: list[tuple[float, str]] = []
        self.frames = 0
        self._timer = QTimer(interval=TICK_MS, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self.began = self.last = time.perf_counter()
        self._worked = time.thread_time()
        self._computed = time.process_time()

    def start(self) -> None:
        """Begin; what the GUI thread does before its next tick counts already."""
        self.gaps.clear()
        self.events.clear()
        self.frames = 0
        self.began = self.last = time.perf_counter()
        self._worked = time.thread_time()
        self._computed = time.process_time()
        self._timer.start()

    def stop(self) -> tuple[float, float]:
        """End, and return the seconds since the start, and how many a core computed for us."""
        self._timer.stop()
        return time.perf_counter() - self.began, time.process_time() - self._computed

    def note(self, what: str) -> None:
        """Remember that something happened now."""
        self.events.append((time.perf_counter() - self.began, what))

    def count_frame(self, event: object = None) -> None:
        """Count one drawn frame."""
        self.frames += 1

    def _tick(self) -> None:
        now = time.perf_counter()
        late = (now - self.last) * 1000 - TICK_MS
        # How much of it the thread computed: the rest it waited, as for a busy processor.
        worked = time.thread_time()
        busy = (worked - self._worked) * 1000
        self.gaps.append((now - self.began, max(0.0, late), busy))
        self.last, self._worked = now, worked


class Watchdog(threading.Thread):
    """Note what the GUI thread is at whenever it has not ticked for a while."""

    def __init__(self, recorder: GapRecorder) -> None:
        super().__init__(daemon=True)
        self.stacks: list[tuple[float, list[str]]] = []
        self._recorder, self._gui = recorder, threading.get_ident()
        self._done = threading.Event()

    def run(self) -> None:
        """Look every 50 ms, until stopped."""
        while not self._done.wait(0.05):
            if (time.perf_counter() - self._recorder.last) * 1000 > STUCK_MS:
                frame = sys._current_frames().get(self._gui)
                calls = [
                    f"{Path(call.filename).stem}.{call.name}:{call.lineno}"
                    for call in traceback.extract_stack(frame)
                    if call.filename != __file__
                ]
                self.stacks.append((time.perf_counter() - self._recorder.began, calls))

    def stop(self) -> None:
        """Look no more."""
        self._done.set()


class Scroller:
    """Step through the slices of a viewer, back and forth, ten times a second."""

    def __init__(self, viewer: Any) -> None:
        from qtpy.QtCore import Qt, QTimer

        self._dims, self._direction = viewer.dims, 1
        self._timer = QTimer(interval=SCROLL_MS, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._step)
        self._timer.start()

    def stop(self) -> None:
        """Scroll no more."""
        self._timer.stop()

    def _step(self) -> None:
        step = self._dims.current_step[0] + self._direction
        if not 0 <= step < self._dims.nsteps[0]:
            self._direction *= -1
            step += 2 * self._direction
        self._dims.set_current_step(0, step)


def show_window(task: Task) -> None:
    """Do one phase in a napari window, and write what was found."""
    import napari

    viewer = napari.Viewer()
    viewer.window.resize(*WINDOW)
    dock, preview = open_docks(viewer, task)
    recorder = GapRecorder()
    canvas = viewer.window._qt_viewer.canvas._scene_canvas
    canvas.events.draw.connect(recorder.count_frame)
    scroller = Scroller(viewer) if task.scrolls else None
    settle = time.perf_counter() + SETTLE_SECONDS
    wait_until(lambda: time.perf_counter() > settle)
    watchdog = Watchdog(recorder)
    if task.stacks:
        watchdog.start()
    seconds, computed = record(recorder, dock, preview, viewer, task)
    watchdog.stop()
    if scroller is not None:
        scroller.stop()
    found = {
        "seconds": seconds,
        "computed": computed,
        "frames": recorder.frames,
        "gaps": recorder.gaps,
        "events": recorder.events,
        "stacks": watchdog.stacks,
        "torch": "torch" in sys.modules,
    }
    if task.runner != "none":
        end_run(dock)
    viewer.close()
    Path(task.result).write_text(json.dumps(found), encoding="utf-8")


def open_docks(viewer: Any, task: Task) -> tuple[Any, Any]:
    """Open the scans and the docks, with everything chosen but the button not pressed."""
    for image, labels in task.scans:
        viewer.open([image, labels], plugin="napari-medcontext")
    window = viewer.window
    _, dock = window.add_plugin_dock_widget("napari-medcontext", "Train")
    _, preview = window.add_plugin_dock_widget("napari-medcontext", "Preview")
    images = [layer for layer in viewer.layers if layer._type_string == "image"]
    labels = [layer for layer in viewer.layers if layer._type_string == "labels"]
    for image, drawn in zip(images, labels, strict=True):
        role = "preview" if image is images[-1] else "training"
        dock.scans.choose(image, drawn, role)
    dock.run_path.setText(task.run)
    dock.set_config(settings(task.spacing))
    if task.runner != "none":
        dock.runner.setCurrentIndex(dock.runner.findData(task.runner))
    return dock, preview


def record(
    recorder: GapRecorder, dock: Any, preview: Any, viewer: Any, task: Task
) -> tuple[float, float]:
    """Record from the press of Train until so many seconds after the first step.

    Returns the seconds, and how many of them a core computed for this process.
    """
    from napari_medcontext.widgets.session import session_of

    first_step: list[float] = []
    ended: list[str] = []

    def receive(event: Event) -> None:
        if isinstance(event, StepFinished) and not first_step:
            first_step.append(time.perf_counter())
            recorder.note("first step")
        elif type(event).__name__ in TOLD:
            recorder.note(TOLD[type(event).__name__])
        if isinstance(event, RunFinished):
            ended.append(event.message)

    session = session_of(viewer)
    session.event_received.connect(receive)
    preview.panels.shown.connect(lambda: recorder.note("preview shown"))
    recorder.start()
    if task.runner == "none":
        first_step.append(recorder.began)
    else:
        recorder.note("press of Train")
        dock.train_button.click()
        recorder.note("press done")
        wait_until(lambda: bool(first_step or ended))
    wait_until(lambda: bool(ended) or time.perf_counter() > first_step[0] + task.seconds)
    session.event_received.disconnect(receive)
    if ended:
        raise RuntimeError(f"The run ended early: {ended[0]}")
    return recorder.stop()


def end_run(dock: Any) -> None:
    """Press Stop, and wait until the run has saved and ended."""
    ended: list[bool] = []
    dock.finished.connect(lambda: ended.append(True))
    dock.stop_button.click()
    wait_until(lambda: bool(ended))


def wait_until(happened: Callable[[], bool]) -> None:
    """Run Qt's real event loop until something has happened."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop, end = QEventLoop(), time.monotonic() + PATIENCE_SECONDS
    poll = QTimer(interval=50)
    poll.timeout.connect(lambda: loop.quit() if happened() or time.monotonic() > end else None)
    poll.start()
    loop.exec()
    if not happened():
        raise TimeoutError(f"Nothing happened for {PATIENCE_SECONDS:.0f} s.")


if __name__ == "__main__":
    show_window(Task(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
