"""The beat in which all that follows a run is drawn anew."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, Qt, QTimer

BEAT_MILLISECONDS = 1000


def beat(owner: QObject, draw: Callable[[], None]) -> QTimer:
    """Return a timer that, once started, calls ``draw`` within about a second, once.

    Whatever changes in a window with a napari canvas, Qt composes the whole window anew:
    drawn by software, that takes a core a twentieth of a second, away from the training. Very
    coarse timers all end at the same moments, so one composition serves all that changed.
    """
    timer = QTimer(
        owner,
        singleShot=True,
        interval=BEAT_MILLISECONDS,
        timerType=Qt.TimerType.VeryCoarseTimer,
    )
    timer.timeout.connect(draw)
    return timer
