"""A prediction outlives its dock, ends with its window, and leaves no folder behind."""

import os
import shutil
import signal
from pathlib import Path

import dask.array
import numpy as np
import pytest
from dock_helpers import SHAPE, close_by_user, docked, finish, predict_dock
from napari._qt import qt_main_window

from napari_medcontext.core.io import read_volume, write_volume
from napari_medcontext.core.volume import Volume
from napari_medcontext.layer_data import image_layer_data
from napari_medcontext.layer_volumes import layer_to_volume
from napari_medcontext.widgets.predict import PredictDock
from napari_medcontext.widgets.scan_choice import scan_to_predict
from napari_medcontext.widgets.session import session_of


@pytest.fixture
def viewer(viewer):
    image = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    data, attributes, _ = image_layer_data(Volume(image, np.eye(4), "scan 1"))
    viewer.add_image(data, **attributes)
    return viewer


@pytest.fixture
def dock(viewer, finished_run, temporary):
    return predict_dock(viewer, finished_run, "scan 1")


def test_prediction_arrives_though_its_dock_is_gone_under_the_weights_it_was_asked_for(
    dock, viewer, qtbot, temporary
):
    dock.weights.setCurrentText("teacher")
    dock.predict_button.click()
    dock.weights.setCurrentText("mean")
    viewer.window.remove_dock_widget(dock)
    dock.deleteLater()
    qtbot.wait(50)
    again = docked(viewer, PredictDock)
    assert not again.predict_button.isEnabled()
    with qtbot.waitSignal(again.finished, timeout=120_000):
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
        qtbot.waitUntil(lambda: (prediction._place / "heartbeat.json").exists(), timeout=120_000)
    viewer.close()
    assert not prediction.is_running
    qtbot.waitUntil(lambda: not any(temporary.iterdir()), timeout=120_000)
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
    with qtbot.waitSignal(dock.finished, timeout=120_000):
        close_by_user(viewer)
    assert len(asked) == 1
    assert "scan 1 · finished student" in viewer.layers


def test_log_of_a_prediction_that_was_killed_is_kept_without_copies_of_the_scans(
    dock, viewer, qtbot, temporary
):
    dock.predict_button.click()
    runner = session_of(viewer).prediction._work.runner
    qtbot.waitUntil(lambda: (runner.folder.path / "heartbeat.json").exists(), timeout=120_000)
    with qtbot.waitSignal(dock.finished, timeout=120_000):
        os.kill(runner.pid, signal.SIGTERM)
    (folder,) = temporary.iterdir()
    assert str(folder) in dock.message.text()
    assert (folder / "output.log").is_file()
    assert not (folder / "scans").exists()


def test_folder_without_a_run_is_told_at_once(dock, qtbot, tmp_path):
    dock.run_path.setText(str(tmp_path))
    qtbot.waitUntil(lambda: "is no run folder" in dock.runs.message.text(), timeout=5000)
    assert dock.runs.message.isVisibleTo(dock)
    dock.run_path.setText("")
    assert not dock.runs.message.isVisibleTo(dock)


def test_bundle_in_place_of_a_run_predicts_too(viewer, finished_run, qtbot, temporary, tmp_path):
    from napari_medcontext.core.export import export_run
    from napari_medcontext.core.run import RunFolder

    export_run(finished_run, "bundle", tmp_path / "organs")
    dock = predict_dock(viewer, RunFolder(tmp_path / "organs"), "scan 1")
    qtbot.wait(600)
    assert not dock.runs.message.isVisibleTo(dock)
    finish(qtbot, dock, dock.predict_button.click)
    assert "Predicted 1 scan" in dock.message.text()
    assert "scan 1 · organs student" in viewer.layers
    (tmp_path / "organs" / "models" / "model.pt").unlink()
    dock.predict_button.click()
    assert "has no models/model.pt" in dock.message.text()


@pytest.fixture
def lazy(viewer, tmp_path):
    """The scan of the viewer as OME-Zarr, open beside it."""
    scan = layer_to_volume(viewer.layers["scan 1"]).reoriented("LPS")
    path = write_volume(tmp_path / "big.ome.zarr", scan)
    viewer.open(str(path), plugin="napari-medcontext")
    return viewer.layers["big"]


@pytest.mark.slow
def test_scan_in_zarr_is_predicted_from_file_to_file_and_shown_lazily(
    viewer, finished_run, qtbot, temporary, lazy, monkeypatch
):
    whole = predict_dock(viewer, finished_run, "scan 1")
    finish(qtbot, whole, whole.predict_button.click)
    read = []
    in_memory = dask.array.Array.__array__

    def noted(array, *args, **kwargs):
        read.append(array.ndim)
        return in_memory(array, *args, **kwargs)

    monkeypatch.setattr(dask.array.Array, "__array__", noted)
    dock = predict_dock(viewer, finished_run, "big")
    dock.probabilities.setChecked(True)
    finish(qtbot, dock, dock.predict_button.click)
    # Slices are, to be drawn; no volume is.
    assert set(read) == {2}
    monkeypatch.undo()
    shown = viewer.layers["big · finished student"]
    assert isinstance(shown.data, dask.array.Array)
    expected = viewer.layers["scan 1 · finished student"]
    assert np.ptp(expected.data) > 0
    np.testing.assert_array_equal(np.asarray(shown.data), expected.data)
    assert list(shown.features["class"]) == list(expected.features["class"])
    np.testing.assert_allclose(shown.data_to_world((1, 2, 3)), lazy.data_to_world((1, 2, 3)))
    for name in shown.features["class"]:
        layer = viewer.layers[f"big · finished student · {name}"]
        assert isinstance(layer.data, dask.array.Array)
        assert 0 < float(layer.data.max()) <= 1
    (folder,) = (finished_run.path / "predicted").iterdir()
    assert f"kept in {folder}" in dock.message.text()
    kept = read_volume(folder / "00-big.ome.zarr").reoriented("IPL")
    np.testing.assert_array_equal(kept.array, expected.data)
    assert not any(temporary.iterdir())
    # What was there is not written over, and both are shown.
    finish(qtbot, dock, dock.predict_button.click)
    assert len(list((finished_run.path / "predicted").iterdir())) == 2
    assert "big · finished student [1]" in viewer.layers


@pytest.mark.slow
def test_scan_in_zarr_that_was_moved_is_taken_from_where_it_is_shown(
    viewer, finished_run, qtbot, lazy
):
    lazy.translate = np.asarray(lazy.translate) + 5
    dock = predict_dock(viewer, finished_run, "big")
    finish(qtbot, dock, dock.predict_button.click)
    shown = viewer.layers["big · finished student"]
    assert isinstance(shown.data, np.ndarray)
    np.testing.assert_allclose(shown.data_to_world((1, 2, 3)), lazy.data_to_world((1, 2, 3)))
    assert not (finished_run.path / "predicted").exists()


def test_scan_in_zarr_whose_layer_was_given_other_voxels_is_predicted_as_it_is_shown(
    viewer, finished_run, lazy
):
    layers = list(viewer.layers)
    assert scan_to_predict(lazy, layers, ()).files == (Path(lazy.metadata["medcontext"]["path"]),)
    lazy.data = lazy.data * 0
    scan = scan_to_predict(lazy, layers, ())
    assert scan.files == ()
    assert not scan.image.held().array.any()


def test_channels_in_zarr_on_other_axes_are_put_together_as_shown(viewer, tmp_path):
    scan = layer_to_volume(viewer.layers["scan 1"])
    for name, orientation in (("a_FLAIR", "LPS"), ("a_T1", "RAS"), ("b_FLAIR", "LPS")):
        write_volume(tmp_path / f"{name}.ome.zarr", scan.reoriented(orientation))
        viewer.open(str(tmp_path / f"{name}.ome.zarr"), plugin="napari-medcontext")
    layers, names = list(viewer.layers), ("FLAIR", "T1")
    assert scan_to_predict(viewer.layers["a_FLAIR"], layers, names).files == ()
    write_volume(tmp_path / "b_T1.ome.zarr", scan.reoriented("LPS"))
    viewer.open(str(tmp_path / "b_T1.ome.zarr"), plugin="napari-medcontext")
    together = scan_to_predict(viewer.layers["b_FLAIR"], list(viewer.layers), names)
    assert [path.name for path in together.files] == ["b_FLAIR.ome.zarr", "b_T1.ome.zarr"]


def test_scan_in_zarr_that_was_replaced_since_is_refused(viewer, finished_run, lazy, tmp_path):
    path = tmp_path / "big.ome.zarr"
    other = read_volume(path)
    shutil.rmtree(path)
    write_volume(path, Volume(other.array, np.diag([1.0, 1.0, 3.0, 1.0])))
    dock = predict_dock(viewer, finished_run, "big")
    dock.predict_button.click()
    assert "was changed since “big” was opened" in dock.message.text()


def test_what_a_killed_prediction_of_zarr_had_begun_is_removed(viewer, finished_run, qtbot, lazy):
    dock = predict_dock(viewer, finished_run, "big")
    dock.predict_button.click()
    prediction = session_of(viewer).prediction
    runner = prediction._work.runner
    qtbot.waitUntil(lambda: (runner.folder.path / "heartbeat.json").exists(), timeout=120_000)
    with qtbot.waitSignal(dock.finished, timeout=120_000):
        os.kill(runner.pid, signal.SIGKILL)
        begun = prediction._lasting / ".12-00-big.ome.zarr"
        begun.mkdir(parents=True)
    assert "kept in" not in dock.message.text()
    assert not any((finished_run.path / "predicted").iterdir())


def test_run_that_may_not_be_written_to_says_so(viewer, finished_run, lazy, temporary, monkeypatch):
    monkeypatch.setattr("napari_medcontext.core.io.os.access", lambda *_: False)
    dock = predict_dock(viewer, finished_run, "big")
    dock.predict_button.click()
    assert "kept in the run's folder, which may not be written to" in dock.message.text()
    assert not any(temporary.iterdir())


def test_scan_whose_zarr_is_gone_is_refused_rather_than_taken_for_zeros(
    viewer, finished_run, lazy, tmp_path
):
    shutil.move(tmp_path / "big.ome.zarr", tmp_path / "elsewhere.ome.zarr")
    dock = predict_dock(viewer, finished_run, "big")
    dock.predict_button.click()
    assert "big.ome.zarr, which is not there any more" in dock.message.text()


def test_cancelled_prediction_of_zarr_leaves_no_folder(viewer, finished_run, qtbot, lazy):
    dock = predict_dock(viewer, finished_run, "big")

    def click_twice():
        dock.predict_button.click()
        dock.cancel_button.click()

    finish(qtbot, dock, click_twice)
    assert "Stopped" in dock.message.text()
    assert not any((finished_run.path / "predicted").glob("*"))
