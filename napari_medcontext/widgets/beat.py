"""The beat in which all that follows a run is drawn anew."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from weakref import WeakSet

from qtpy.compat import isalive
from qtpy.QtCore import QCoreApplication, QObject, QTimer

BEAT_MILLISECONDS = 2000


class Beat(QObject):
    """Calls ``draw`` once for each start, at the next beat, together with all others.

    Whatever changes in a window with a napari canvas, Qt composes the whole window anew. Drawn
    by software, that takes a tenth of a second of processor time away from the training, so
    one composition serves all that changed.

    Parameters
    ----------
    owner
        That with which it ends.
    draw
        What is called.
    """

    def __init__(self, owner: QObject, draw: Callable[[], None]) -> None:
        super().__init__(owner)
        self.draw = draw

    def start(self) -> None:
        """Draw at the next beat."""
        _waiting.add(self)
        if not _timer().isActive():
            _timer().start()

    def stop(self) -> None:
        """Do not draw after all."""
        _waiting.discard(self)


_waiting: WeakSet[Beat] = WeakSet()


@cache
def _timer() -> QTimer:
    timer = QTimer(QCoreApplication.instance(), singleShot=True, interval=BEAT_MILLISECONDS)
    timer.timeout.connect(_draw_all)
    return timer


def _draw_all() -> None:
    waiting = list(_waiting)
    _waiting.clear()
    for beat in waiting:
        if isalive(beat):
            beat.draw()
