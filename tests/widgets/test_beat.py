import gc
import time

import numpy as np
import pytest
from dock_helpers import docked
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget

from napari_medcontext.core.events import PreviewReady, RunStarted, StepFinished
from napari_medcontext.widgets import beat
from napari_medcontext.widgets.beat import Beat
from napari_medcontext.widgets.collector import ShortCollections
from napari_medcontext.widgets.preview import PreviewDock
from napari_medcontext.widgets.session import session_of
from napari_medcontext.widgets.train import TrainDock


class SlowToPaint(QWidget):
    """A window that takes a while to compose."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds, self.painted = seconds, []

    def paintEvent(self, event):
        time.sleep(self.seconds)
        self.painted.append(time.monotonic())


class Updates(QObject):
    """Counts how often a window is composed."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def eventFilter(self, watched, event):
        self.count += event.type() == QEvent.Type.UpdateRequest
        return False


@pytest.fixture
def new_pace(monkeypatch):
    """Nothing known of how long drawing takes, whatever was drawn before; beats come soon."""
    monkeypatch.setattr(beat, "FIRST", 0.3)
    monkeypatch.setattr(beat, "SHORTEST", 0.2)
    beat._pace.cache_clear()
    yield
    beat._pace.cache_clear()


@pytest.fixture
def slow_window(qtbot):
    """A window in sight that takes a fortieth of a second to compose."""
    window = SlowToPaint(0.025)
    qtbot.addWidget(window)
    window.show()
    qtbot.waitExposed(window)
    return window


def beats_within(qtbot, window, seconds):
    """Ask for drawing all the time; return how often the window was drawn."""
    follower = Beat(window, window.update)
    before, end = len(window.painted), time.monotonic() + seconds
    while time.monotonic() < end:
        follower.start()
        qtbot.wait(10)
    return len(window.painted) - before


def test_what_waits_for_the_beat_is_drawn_in_one_go(qtbot, new_pace):
    owner, drawn = QObject(), []
    for _ in range(3):
        Beat(owner, lambda: drawn.append(time.monotonic())).start()
        qtbot.wait(50)
    assert not drawn
    qtbot.waitUntil(lambda: len(drawn) == 3)
    assert max(drawn) - min(drawn) < 0.1


def test_beat_comes_once_however_often_it_was_started_and_not_after_a_stop(qtbot, new_pace):
    owner, drawn = QObject(), []
    often, stopped = (Beat(owner, lambda name=name: drawn.append(name)) for name in ("a", "b"))
    for _ in range(3):
        often.start()
    stopped.start()
    stopped.stop()
    qtbot.wait(1000)
    assert drawn == ["a"]


def test_beat_does_not_outlive_its_owner(qtbot, new_pace):
    owner, drawn = QObject(), []
    Beat(owner, lambda: drawn.append(1)).start()
    owner.deleteLater()
    qtbot.wait(800)
    assert not drawn


def test_dear_drawing_makes_beats_rare(qtbot, new_pace, slow_window, monkeypatch):
    monkeypatch.setattr(beat, "LONGEST", 6.0)
    # A fortieth of a second of painting is a hundredth of 2.5 s.
    beats_within(qtbot, slow_window, 0.6)
    assert beats_within(qtbot, slow_window, 1.5) <= 1
    slow_window.seconds = 0.0
    beats_within(qtbot, slow_window, 3.0)
    assert beats_within(qtbot, slow_window, 1.5) >= 3


def test_beats_are_never_further_apart_than_the_longest(qtbot, new_pace, slow_window, monkeypatch):
    monkeypatch.setattr(beat, "LONGEST", 0.4)
    slow_window.seconds = 0.1
    assert beats_within(qtbot, slow_window, 3.0) >= 4


def test_window_is_composed_once_for_all_that_a_step_changes(qtbot, new_pace, make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    dock = docked(viewer, TrainDock)
    preview = docked(viewer, PreviewDock)
    dock.monitor.curves.began.disconnect()  # the dock scrolls to its curves once
    dock.monitor.begin("run", dock.config())
    told = session_of(viewer).event_received.emit
    spacing = (1.0, 1.0, 1.0)
    told(RunStarted(0, 90, "cpu", "float32", 1, "unet", "medcontext", "z", {}, spacing, False))
    image, labels = np.zeros((4, 4, 4), np.float32), np.zeros((4, 4, 4), np.uint8)
    with qtbot.waitSignal(preview.panels.shown, timeout=120_000):
        told(PreviewReady(0, "scan 1", np.eye(4), image, image, labels, labels))
    updates = Updates()
    viewer.window._qt_window.installEventFilter(updates)

    def step(number):
        told(StepFinished(number, {"dice_ce": 1 / number}, 0.9, 1e-3, 0.1))
        qtbot.waitUntil(lambda: dock.progress.value() == number)
        qtbot.wait(300)

    # The first draws what is there for the first time, the fourth begins to tell the time left.
    for number in (1, 2, 3, 4):
        step(number)
    updates.count = 0
    for number in (5, 6, 7):
        step(number)
    assert dock.progress.text().startswith("Step 7 of 90 · ")
    assert "s ago" in preview.header.text()
    assert updates.count <= 5


def test_collections_are_short_until_the_last_has_left():
    collections = ShortCollections()
    collections.enter()
    collections.enter()
    collections.leave()
    assert gc.get_freeze_count() > 10_000
    collections.leave()
    assert gc.get_freeze_count() == 0
