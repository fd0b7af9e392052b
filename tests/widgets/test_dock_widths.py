"""Nothing of a dock lies beyond its right edge, whatever layers are called."""

import numpy as np
import pytest
from qtpy.QtWidgets import QScrollArea
from superqt import QCollapsible

from napari_medcontext.widgets.docks import open_dock

LONG = "contrast-enhanced scan of the abdomen, as the hospital exported it, " * 2


@pytest.mark.parametrize("name", ["Train", "Predict", "Compare", "Inspect"])
def test_dock_needs_no_sideways_scrolling(name, make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(np.zeros((8, 8, 8), np.float32), name=LONG)
    viewer.add_labels(np.ones((8, 8, 8), np.uint8), name=f"{LONG} organs")
    dock = open_dock(viewer, name)
    for fold in dock.findChildren(QCollapsible):
        fold.expand(animate=False)
    qtbot.wait(200)
    assert dock.minimumSizeHint().width() <= dock.width()
    for area in dock.findChildren(QScrollArea):
        assert area.horizontalScrollBar().maximum() == 0, area.widget().minimumSizeHint()
