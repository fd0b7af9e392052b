import sys

import numpy as np
import pytest

from napari_medcontext.core.volume import Volume
from napari_medcontext.layers import image_layer_data, labels_layer_data
from napari_medcontext.widgets.predict import PredictDock
from napari_medcontext.widgets.session import session_of
from napari_medcontext.widgets.train import TrainDock

SHAPE = (24, 24, 20)
TINY = {
    "data": {"patch_size": (32, 16, 16)},
    "training": {"steps": 4, "preview_every": 1.0, "batch_size": 1},
    "device": {"device": "cpu", "threads": 1},
}


@pytest.fixture(autouse=True)
def _own_preferences(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


@pytest.fixture
def dock(viewer, tmp_path):
    for number in (1, 2):
        add_scan(viewer, number)
    dock = TrainDock(viewer)
    viewer.window.add_dock_widget(dock, name="Train")
    dock.run_path.setText(str(tmp_path / "run"))
    dock.set_config(dock.config().updated(TINY))
    return dock


def add_scan(viewer, number, labels=None):
    rng = np.random.default_rng(number)
    organ = np.zeros(SHAPE, dtype=np.uint8)
    organ[6:16, 6:16, 5:15] = 3
    image = rng.normal(size=SHAPE).astype(np.float32) + 3 * (organ > 0)
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    parts = [
        image_layer_data(Volume(image, affine, f"scan {number}")),
        labels_layer_data(
            Volume(organ if labels is None else labels, affine, f"scan {number} organs", {3: "box"})
        ),
    ]
    adders = (viewer.add_image, viewer.add_labels)
    for add, (data, attributes, _) in zip(adders, parts, strict=True):
        add(data, **attributes)


def finish(qtbot, dock, press):
    with qtbot.waitSignal(dock.finished, timeout=120_000):
        press()


def test_layers_are_paired_by_name_and_train(dock):
    rows = dock.scans.rows()
    assert [(row.image.name, row.labels.name, row.role) for row in rows] == [
        ("scan 1", "scan 1 organs", "training"),
        ("scan 2", "scan 2 organs", "training"),
    ]
    assert "2 to train on" in dock.preflight.text()


def test_renaming_and_removing_layers_keeps_the_choices_of_the_others(dock, viewer):
    image, labels = dock.scans.rows()[1].image, dock.scans.rows()[1].labels
    image.name = "a name that sorts first"
    viewer.layers.remove("scan 1 organs")
    rows = dock.scans.rows()
    assert rows[0].labels is None
    assert (rows[1].image, rows[1].labels) == (image, labels)
    assert "no labels" in dock.preflight.text()


def test_labels_of_another_shape_are_refused_by_name(dock, viewer):
    viewer.add_labels(np.ones((5, 5, 5), dtype=np.uint8), name="other")
    row = dock.scans.rows()[0]
    dock.scans.choose(row.image, viewer.layers["other"], "training")
    dock.train()
    assert "“other” has the shape (5, 5, 5)" in dock.message.text()
    assert not session_of(viewer).is_training


def test_without_layers_train_says_what_to_open(viewer, tmp_path):
    dock = TrainDock(viewer)
    viewer.window.add_dock_widget(dock, name="Train")
    dock.run_path.setText(str(tmp_path / "run"))
    dock.train()
    assert "no scan to train on" in dock.message.text()
    assert not (tmp_path / "run").exists()


def test_empty_labels_end_the_run_before_anything_is_written(dock, viewer, qtbot, tmp_path):
    viewer.layers["scan 2 organs"].data = np.zeros_like(viewer.layers["scan 2 organs"].data)
    finish(qtbot, dock, dock.train_button.click)
    assert "“scan 2 organs” are empty" in dock.message.text()
    assert not (tmp_path / "run").exists()
    assert dock.train_button.isEnabled()


def test_a_run_that_exists_is_not_overwritten(dock, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.yaml").write_text("config: {}")
    dock.train()
    assert "holds a run already" in dock.message.text()


@pytest.mark.parametrize("kind", ["process", "thread"])
def test_train_and_predict_through_the_buttons(dock, viewer, qtbot, tmp_path, kind):
    torch_before = "torch" in sys.modules
    dock.runner.setCurrentIndex(dock.runner.findData(kind))
    finish(qtbot, dock, dock.train_button.click)
    assert dock.curves.points("dice_ce")[0] == [1, 2, 3, 4]
    assert "Finished 4 steps" in dock.message.text()
    predict = PredictDock(viewer)
    viewer.window.add_dock_widget(predict, name="Predict")
    predict.tick([viewer.layers["scan 1"]])
    finish(qtbot, predict, predict.predict_button.click)
    made = viewer.layers["scan 1 · run student"]
    assert made.data.shape == viewer.layers["scan 1"].data.shape
    assert set(np.unique(made.data)) <= {0, 3}
    np.testing.assert_allclose(made.scale, viewer.layers["scan 1"].scale)
    if kind == "process":
        assert ("torch" in sys.modules) == torch_before


def test_settings_come_back_next_time(dock, viewer, qtbot):
    finish(qtbot, dock, dock.train_button.click)
    again = TrainDock(viewer)
    qtbot.addWidget(again)
    assert again.config() == dock.config()


@pytest.mark.parametrize("choice", ["continue", "stop", "cancel"])
def test_closing_napari_asks_what_becomes_of_the_run(dock, viewer, qtbot, choice):
    dock.set_config(dock.config().updated({"training": {"steps": 100_000}}))
    session, asked = session_of(viewer), []

    def answer(window, may_continue):
        asked.append(may_continue)
        return choice

    session.ask_on_close = answer
    dock.train()
    qtbot.waitUntil(lambda: dock.curves.points("dice_ce")[0] != [], timeout=60_000)
    window = viewer.window._qt_window
    if choice == "cancel":
        window.close()
        assert asked == [True]
        assert session.is_training
        finish(qtbot, dock, dock.stop_button.click)
        return
    run = session.run
    viewer.close()
    assert asked == [True]
    if choice == "continue":
        assert run.is_alive()
        run.send("stop")
    qtbot.waitUntil(lambda: not run.is_alive(), timeout=30_000)
    assert run.last_step() > 0
