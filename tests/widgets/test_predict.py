"""A prediction outlives its dock, ends with its window, and leaves no folder behind."""

import os
import signal
import tempfile

import numpy as np
import pytest
from napari._qt import qt_main_window
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QApplication

from napari_medcontext.core.volume import Volume
from napari_medcontext.layers import image_layer_data
from napari_medcontext.widgets.predict import PredictDock
from napari_medcontext.widgets.session import session_of


class UsersClose(QCloseEvent):
    """A close as it comes from the window's frame, not from the program."""

    def spontaneous(self):
        return True


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer()
    image = np.random.default_rng(0).normal(size=(24, 24, 20)).astype(np.float32)
    data, attributes, _ = image_layer_data(Volume(image, np.eye(4), "scan 1"))
    viewer.add_image(data, **attributes)
    return viewer


@pytest.fixture
def dock(viewer, finished_run, temporary):
    dock = PredictDock(viewer)
    viewer.window.add_dock_widget(dock, name="Predict")
    dock.run_path.setText(str(finished_run.path))
    dock.tick([viewer.layers["scan 1"]])
    return dock


def test_prediction_arrives_though_its_dock_is_gone_under_the_weights_it_was_asked_for(
    dock, viewer, qtbot, temporary
):
    dock.weights.setCurrentText("teacher")
    dock.predict_button.click()
    dock.weights.setCurrentText("mean")
    viewer.window.remove_dock_widget(dock)
    dock.deleteLater()
    qtbot.wait(50)
    again = PredictDock(viewer)
    viewer.window.add_dock_widget(again, name="Predict")
    assert not again.predict_button.isEnabled()
    with qtbot.waitSignal(again.finished, timeout=20_000):
        pass
    assert "Predicted 1 scan" in again.message.text()
    assert [layer.name for layer in viewer.layers] == ["scan 1", "scan 1 · finished teacher"]
    assert again.predict_button.isEnabled()
    assert not any(temporary.iterdir())


@pytest.mark.parametrize("moment", ["at once", "later"])
def test_prediction_ends_with_its_window_and_leaves_no_folder(
    dock, viewer, qtbot, temporary, moment
):
    dock.predict_button.click()
    prediction = session_of(viewer).prediction
    if moment == "later":
        qtbot.waitUntil(
            lambda: (prediction._folder.path / "heartbeat.json").exists(), timeout=30_000
        )
    viewer.close()
    assert not prediction.is_running
    qtbot.waitUntil(lambda: not any(temporary.iterdir()), timeout=30_000)
    assert session_of(viewer).prediction is None


def test_prediction_goes_on_if_the_user_tells_napari_not_to_close(dock, viewer, qtbot, monkeypatch):
    asked = []

    class No:
        Accepted = 1

        def __init__(self, *args, **kwargs):
            asked.append(True)

        def exec_(self):
            return 0

    monkeypatch.setattr(qt_main_window, "ConfirmCloseDialog", No)
    dock.predict_button.click()
    with qtbot.waitSignal(dock.finished, timeout=20_000):
        QApplication.sendEvent(viewer.window._qt_window, UsersClose())
    assert len(asked) == 1
    assert "scan 1 · finished student" in viewer.layers


def test_log_of_a_prediction_that_was_killed_is_kept_without_copies_of_the_scans(
    dock, viewer, qtbot, temporary
):
    dock.predict_button.click()
    runner = session_of(viewer).prediction._work.runner
    qtbot.waitUntil(lambda: (runner.folder.path / "heartbeat.json").exists(), timeout=30_000)
    with qtbot.waitSignal(dock.finished, timeout=30_000):
        os.kill(runner.pid, signal.SIGTERM)
    (folder,) = temporary.iterdir()
    assert str(folder) in dock.message.text()
    assert (folder / "output.log").is_file()
    assert not (folder / "scans").exists()
