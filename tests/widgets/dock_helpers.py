"""What the tests of the docks do alike: add scans, open docks, press and wait, close."""

import numpy as np
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QApplication

from napari_medcontext.core.volume import Volume
from napari_medcontext.layer_data import image_layer_data, labels_layer_data
from napari_medcontext.widgets.predict import PredictDock

SHAPE = (24, 24, 20)
AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])
OTHER_MASKING = {
    "scheme": "structure",
    "site": "tokens",
    "token": "block",
    "ratio": 0.123456,
    "ratio_range": (0.25, 0.5),
    "block_size": 8,
    "block_size_mm": 12.5,
    "axis": "y",
}
"""Every setting of the masking as it is not by default."""


class UsersClose(QCloseEvent):
    """A close as it comes from the window's frame, not from the program."""

    def spontaneous(self):
        return True


def anatomy(seed):
    """Return a scan's voxels and its organ's: a bright box, id 3, in noise."""
    organ = np.zeros(SHAPE, dtype=np.uint8)
    organ[6:16, 6:16, 5:15] = 3
    noise = np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)
    return noise + organ, organ


def add_scan(viewer, number):
    """Add “scan N” and “scan N organs”."""
    image, organ = anatomy(number)
    data, attributes, _ = image_layer_data(Volume(image, AFFINE, f"scan {number}"))
    viewer.add_image(data, **attributes)
    organs = Volume(organ, AFFINE, f"scan {number} organs", {3: "box"})
    data, attributes, _ = labels_layer_data(organs)
    viewer.add_labels(data, **attributes)


def docked(viewer, dock_type):
    """Open a dock in the viewer's window."""
    dock = dock_type(viewer)
    viewer.window.add_dock_widget(dock, name=dock_type.__name__.removesuffix("Dock"))
    return dock


def predict_dock(viewer, run, image):
    """Open the Predict dock with this run named and this scan ticked."""
    dock = docked(viewer, PredictDock)
    dock.run_path.setText(str(run.path))
    dock.tick([viewer.layers[image]])
    return dock


def finish(qtbot, dock, press, seconds=120):
    """Press, and wait until the dock says that it has ended."""
    with qtbot.waitSignal(dock.finished, timeout=1000 * seconds):
        press()


def close_by_user(viewer):
    """Close the window as the user does."""
    QApplication.sendEvent(viewer.window._qt_window, UsersClose())
