import gc
import time

from qtpy.QtCore import QObject

from napari_medcontext.widgets.beat import BEAT_MILLISECONDS, Beat
from napari_medcontext.widgets.collector import ShortCollections


def test_what_waits_for_the_beat_is_drawn_in_one_go(qtbot):
    owner, drawn = QObject(), []
    for _ in range(3):
        Beat(owner, lambda: drawn.append(time.monotonic())).start()
        qtbot.wait(130)
    assert not drawn
    qtbot.waitUntil(lambda: len(drawn) == 3, timeout=10_000)
    assert max(drawn) - min(drawn) < 0.1


def test_beat_comes_once_however_often_it_was_started_and_not_after_a_stop(qtbot):
    owner, drawn = QObject(), []
    often, stopped = (Beat(owner, lambda name=name: drawn.append(name)) for name in ("a", "b"))
    for _ in range(3):
        often.start()
    stopped.start()
    stopped.stop()
    qtbot.wait(2 * BEAT_MILLISECONDS + 500)
    assert drawn == ["a"]


def test_beat_does_not_outlive_its_owner(qtbot):
    owner, drawn = QObject(), []
    Beat(owner, lambda: drawn.append(1)).start()
    owner.deleteLater()
    qtbot.wait(BEAT_MILLISECONDS + 500)
    assert not drawn


def test_collections_are_short_until_the_last_has_left():
    collections = ShortCollections()
    collections.enter()
    collections.enter()
    collections.leave()
    assert gc.get_freeze_count() > 10_000
    collections.leave()
    assert gc.get_freeze_count() == 0
