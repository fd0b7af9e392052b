import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_medcontext.widgets.halves import Halves
from napari_medcontext.widgets.score_table import ScoreTable

HEIGHT = 900


@pytest.fixture
def table():
    table = ScoreTable()
    table.setRowCount(8)
    return table


@pytest.fixture
def halves(qtbot, table):
    """A table of eight rows above what scrolls, in a window as high as a dock."""
    upper, lower = QWidget(), QLabel("\n" * 100)
    layout = QVBoxLayout(upper)
    layout.addWidget(table)
    layout.addStretch()
    halves = Halves(upper, lower)
    qtbot.addWidget(halves)
    halves.resize(400, HEIGHT)
    halves.show()
    qtbot.waitExposed(halves)
    return halves


def test_lower_half_gets_what_the_rows_of_a_table_leave(halves, table, qtbot):
    halves.open_lower()
    upper, _ = halves.sizes()
    assert upper == halves.widget(0).sizeHint().height()
    assert 8 * 24 < upper < 8 * 24 + 100
    qtbot.waitUntil(lambda: table.viewport().height() >= table.verticalHeader().length())


def test_lower_half_of_a_long_table_is_still_seen(halves, table):
    table.setRowCount(104)
    table.updateGeometry()
    halves.open_lower()
    assert halves.sizes()[1] > 0.4 * HEIGHT


def test_border_stays_where_it_was_dragged(halves, qtbot):
    handle = halves.handle(1)
    middle = handle.rect().center()
    qtbot.mousePress(handle, Qt.MouseButton.LeftButton, pos=middle)
    qtbot.mouseMove(handle, middle.__class__(middle.x(), middle.y() - 60))
    qtbot.mouseRelease(handle, Qt.MouseButton.LeftButton)
    dragged = halves.sizes()
    halves.open_lower()
    assert halves.sizes() == dragged
