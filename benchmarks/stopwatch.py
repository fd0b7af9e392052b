"""Times from a press in a napari window to the picture that shows what came of it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication

TARGET_MS = 100.0


def waited(happened: Callable[[], bool], seconds: float = 60.0) -> None:
    """Let the window live until something happened.

    As in Qt's own loop the thread sleeps while there is no event: one that went on looking for
    events would keep the interpreter from the threads that it waits for.
    """
    late = QTimer(singleShot=True, interval=int(1000 * seconds))
    late.start()
    while not happened():
        if not late.isActive():
            raise TimeoutError
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)


class Stopwatch:
    """Times from a press to the picture that shows what came of it."""

    def __init__(self, qt_viewer: Any) -> None:
        self._canvas = qt_viewer.canvas._scene_canvas
        self._drawn = 0
        self._canvas.events.draw.connect(self._note, position="last")

    def milliseconds(
        self, act: Callable[[], None], done: Callable[[], bool] | None = None
    ) -> float:
        """Return how long it takes from the act until it is done and drawn."""
        started = time.perf_counter()
        act()
        if done is not None:
            waited(done)
        before = self._drawn
        self._canvas.update()
        waited(lambda: self._drawn > before)
        return (time.perf_counter() - started) * 1000

    def _note(self, event: object) -> None:
        self._drawn += 1


def print_table(rows: Mapping[str, Sequence[float]]) -> None:
    """Print medians and worst times in milliseconds."""
    print(
        f"{'':26s} {'n':>3s} {'median':>8s} {'max':>8s}  ms; target {TARGET_MS:.0f} at the median"
    )
    for name, times in rows.items():
        print(f"{name:26s} {len(times):3d} {statistics.median(times):8.0f} {max(times):8.0f}")
