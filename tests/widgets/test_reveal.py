"""What is new comes into view by itself, but never against a user who scrolls."""

import pytest
from conftest import TINY
from dock_helpers import add_scan, docked
from qtpy.QtWidgets import QLabel, QScrollArea, QVBoxLayout, QWidget

from napari_medcontext.widgets.reveal import Reveal
from napari_medcontext.widgets.train import TrainDock


@pytest.fixture
def area(qtbot):
    """A part of 100 pixels, 2,000 below the top, in an area of 300."""
    content, shown = QWidget(), QScrollArea()
    layout = QVBoxLayout(content)
    for height in (2000, 100, 600):
        part = QLabel(str(height))
        part.setFixedHeight(height)
        layout.addWidget(part)
    shown.setWidgetResizable(True)
    shown.setWidget(content)
    shown.resize(200, 300)
    qtbot.addWidget(shown)
    shown.show()
    shown.part = layout.itemAt(1).widget()
    return shown


def is_seen(area):
    return area.part.visibleRegion().boundingRect().height() == area.part.height()


def test_promised_part_comes_into_view_once(area, qtbot):
    reveal = Reveal(area, area.part)
    assert not is_seen(area)
    reveal.promise()
    reveal.keep()
    qtbot.waitUntil(lambda: is_seen(area), timeout=20_000)
    area.verticalScrollBar().setValue(0)
    reveal.keep()
    qtbot.wait(2500)
    assert not is_seen(area)


def test_user_who_scrolls_meanwhile_is_left_alone(area, qtbot):
    reveal = Reveal(area, area.part)
    reveal.promise()
    area.verticalScrollBar().setValue(40)
    reveal.keep()
    qtbot.wait(2500)
    assert area.verticalScrollBar().value() == 40


def test_curves_are_in_view_once_a_training_learns(make_napari_viewer, qtbot, tmp_path):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1200, 700)
    for number in (1, 2):
        add_scan(viewer, number)
    dock = docked(viewer, TrainDock)
    dock.run_path.setText(str(tmp_path / "run"))
    dock.set_config(dock.config().updated(TINY))
    assert dock.curves.visibleRegion().isEmpty()
    with qtbot.waitSignal(dock.finished, timeout=120_000):
        dock.train_button.click()
    qtbot.waitUntil(
        lambda: dock.curves.visibleRegion().boundingRect().height() > 100, timeout=20_000
    )
