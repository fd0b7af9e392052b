"""The beat in which all that follows a run is drawn anew."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from weakref import WeakSet

from qtpy.compat import isalive
from qtpy.QtCore import QCoreApplication, QEvent, QObject, QTimer

FIRST = 2.0
"""Seconds to the next beat as long as it is not known how dear drawing is."""
SHORTEST, LONGEST = 1.0, 6.0
"""Seconds that beats are apart at least and at most."""
DRAWING_SHARE = 0.01
"""Of the window's time; the training loses several times as much, since all cores draw."""
AFTER_PAINTING = -1000
"""Priority of an event: Qt posts those that paint with -1."""


class Beat(QObject):
    """Calls ``draw`` once for each start, at the next beat, together with all others.

    Whatever changes in a window with a napari canvas, Qt composes the whole window anew. Drawn
    by software, that takes a tenth of a second of processor time away from the training, so
    one composition serves all that changed, and the longer it takes, the rarer beats are.

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
        _pace().await_beat(self)

    def stop(self) -> None:
        """Do not draw after all."""
        _pace().waiting.discard(self)


class _Pace(QObject):
    """Lets all that wait draw at once, as often as drawing allows."""

    def __init__(self) -> None:
        super().__init__(QCoreApplication.instance())
        self.waiting: WeakSet[Beat] = WeakSet()
        self._began = 0.0
        self._timer = QTimer(self, singleShot=True, interval=int(1000 * FIRST))
        self._timer.timeout.connect(self._draw_all)

    def await_beat(self, beat: Beat) -> None:
        self.waiting.add(beat)
        if not self._timer.isActive():
            self._timer.start()

    def customEvent(self, event: QEvent) -> None:
        """Learn, once what was drawn is composed, how long that took."""
        seconds = (time.perf_counter() - self._began) / DRAWING_SHARE
        self._timer.setInterval(int(1000 * min(max(seconds, SHORTEST), LONGEST)))

    def _draw_all(self) -> None:
        self._began = time.perf_counter()
        waiting = list(self.waiting)
        self.waiting.clear()
        for beat in waiting:
            if isalive(beat):
                beat.draw()
        QCoreApplication.postEvent(self, QEvent(QEvent.Type.User), AFTER_PAINTING)


@cache
def _pace() -> _Pace:
    return _Pace()
