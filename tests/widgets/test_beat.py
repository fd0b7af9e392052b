import time

from qtpy.QtCore import QObject

from napari_medcontext.widgets.beat import beat


def test_what_waits_for_the_beat_is_drawn_in_one_go(qtbot):
    owner, drawn = QObject(), []
    timers = [beat(owner, lambda: drawn.append(time.monotonic())) for _ in range(3)]
    for timer in timers:
        timer.start()
        qtbot.wait(130)
    qtbot.waitUntil(lambda: len(drawn) == 3, timeout=3000)
    assert max(drawn) - min(drawn) < 0.05


def test_beat_comes_once_for_each_start(qtbot):
    owner, drawn = QObject(), []
    timer = beat(owner, lambda: drawn.append(time.monotonic()))
    timer.start()
    qtbot.wait(2600)
    assert len(drawn) == 1
