import sys

import numpy as np
import pytest
from dock_helpers import AFFINE, SHAPE, add_scan, anatomy, close_by_user, docked, finish
from napari._qt import qt_main_window
from napari.layers._layer_actions import _convert_to_labels as convert_to_labels
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QApplication, QComboBox

from napari_medcontext.core.volume import Volume
from napari_medcontext.layer_data import image_layer_data
from napari_medcontext.runners import FolderWatcher
from napari_medcontext.viewer_layers import add_volumes
from napari_medcontext.widgets.compare import CompareDock
from napari_medcontext.widgets.predict import PredictDock
from napari_medcontext.widgets.run_names import next_name, run_in
from napari_medcontext.widgets.scan_choice import chosen_scans
from napari_medcontext.widgets.session import session_of
from napari_medcontext.widgets.train import TrainDock


@pytest.fixture
def dock(train_dock):
    """The dock, with previews every second."""
    train_dock.set_config(train_dock.config().updated({"training": {"preview_every": 1.0}}))
    return train_dock


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


@pytest.mark.filterwarnings("ignore:projection mode")
def test_labels_that_napari_converts_come_back_to_their_scans(dock, viewer):
    viewer.layers.remove("scan 2 organs")
    drawn = Volume(anatomy(2)[1].astype(np.float32), AFFINE, "scan 2")
    data, attributes, _ = image_layer_data(drawn)
    as_image = viewer.add_image(data, **attributes)
    assert as_image.name == "scan 2 [1]"
    viewer.layers.selection = {viewer.layers["scan 1 organs"], as_image}
    convert_to_labels(viewer.layers)
    rows = [(row.image.name, row.labels and row.labels.name) for row in dock.scans.rows()]
    assert rows == [
        ("scan 1", "scan 1 organs"),
        ("scan 2", "scan 2 [2]"),
        ("scan 2 [1]", None),
    ]
    assert [row.role for row in dock.scans.rows()] == ["training", "training", "unused"]


def test_scans_that_the_user_left_unused_stay_so_when_layers_come_and_go(dock, viewer):
    image = dock.scans.rows()[0].image
    dock.scans.findChild(QComboBox, "scan_0_labels").setCurrentText("–")
    dock.scans.findChild(QComboBox, "scan_0_role").setCurrentText("unused")
    add_scan(viewer, 3)
    viewer.layers["scan 2"].name = "another name"
    row = dock.scans.rows()[0]
    assert (row.image, row.labels, row.role) == (image, None, "unused")
    assert dock.scans.rows()[2].role == "training"


def test_two_previews_are_refused_before_anything_starts(dock, viewer, tmp_path):
    add_scan(viewer, 3)
    for row in dock.scans.rows()[:2]:
        dock.scans.choose(row.image, row.labels, "preview")
    assert dock.preflight.text().startswith("⚠ Only one scan can be the preview; set the others")
    dock.train()
    assert "Only one scan can be the preview" in dock.message.text()
    assert not (tmp_path / "run").exists()


def test_labels_that_are_painted_on_later_are_trained_on_as_they_were(dock, viewer):
    scans = chosen_scans(dock.scans.rows(), list(viewer.layers), dock.config())
    before = scans[0].labels.array.copy()
    viewer.layers["scan 1 organs"].data[:] = 3
    np.testing.assert_array_equal(scans[0].labels.array, before)


def test_layers_kept_from_a_preview_are_offered_neither_to_training_nor_to_prediction(dock, viewer):
    predict = docked(viewer, PredictDock)
    volume = Volume(np.zeros(SHAPE, np.float32), np.eye(4), "preview step 4: image")
    labels = Volume(np.ones(SHAPE, np.uint8), np.eye(4), "preview step 4: reference")
    add_volumes(viewer, [volume], [labels], (), preview_of="scan 1")
    assert [row.image.name for row in dock.scans.rows()] == ["scan 1", "scan 2"]
    offered = [predict.scans.item(index).text() for index in range(predict.scans.count())]
    assert offered == ["scan 1", "scan 2"]


def test_folder_that_is_no_run_is_where_a_new_run_goes(tmp_path, finished_run):
    assert run_in(finished_run.path) == finished_run.path
    assert run_in(tmp_path) == tmp_path / "run-1"
    (tmp_path / "run-1").mkdir()
    assert run_in(tmp_path) == tmp_path / "run-2"
    assert next_name(tmp_path / "run-1") == tmp_path / "run-2"
    assert next_name(tmp_path / "abdomen") == tmp_path / "abdomen-2"


def test_finished_run_is_shown_by_resume_and_train_goes_to_the_next_free_name(
    dock, viewer, qtbot, finished_run
):
    dock.run_path.setText(str(finished_run.path))
    finish(qtbot, dock, dock.resume_button.click)
    assert isinstance(session_of(viewer)._work.runner, FolderWatcher)
    assert dock.curves.points("dice_ce")[0] == [1, 2, 3, 4]
    assert dock.progress.value() == 4
    finish(qtbot, dock, dock.train_button.click)
    assert session_of(viewer).run.path == finished_run.path.with_name("finished-2")
    assert dock.run_path.text() == str(session_of(viewer).run.path)


def test_dock_opened_in_mid_run_shows_the_run_as_the_first_one_did(dock, viewer, qtbot):
    dock.set_config(dock.config().updated({"training": {"steps": 100_000}}))
    dock.train()
    qtbot.waitUntil(lambda: len(dock.curves.points("dice_ce")[0]) > 2, timeout=120_000)
    dock.pause_button.click()
    qtbot.waitUntil(lambda: dock.pause_button.text() == "Go on", timeout=120_000)
    points, message = dock.curves.points("dice_ce"), dock.message.text()
    viewer.window.remove_dock_widget(dock)
    dock.deleteLater()
    qtbot.wait(50)
    viewer.layers["scan 1"].name = "renamed while no dock was there"
    again = docked(viewer, TrainDock)
    assert again.run_path.text() == str(session_of(viewer).run.path)
    assert (again.message.text(), again.pause_button.text()) == (message, "Go on")
    assert again.curves.points("dice_ce")[0] == points[0]
    np.testing.assert_allclose(again.curves.points("dice_ce")[1], points[1])
    assert (again.progress.value(), again.progress.maximum()) == (points[0][-1], 100_000)
    again.pause_button.click()
    qtbot.waitUntil(lambda: again.curves.points("dice_ce")[0][-1] > points[0][-1], timeout=120_000)
    finish(qtbot, again, again.stop_button.click)


def test_labels_of_another_shape_are_refused_by_name(dock, viewer):
    viewer.add_labels(np.ones((5, 5, 5), dtype=np.uint8), name="other")
    row = dock.scans.rows()[0]
    dock.scans.choose(row.image, viewer.layers["other"], "training")
    dock.train()
    assert "“other” have the shape (5, 5, 5)" in dock.message.text()
    assert not session_of(viewer).is_training


def test_without_layers_train_says_what_to_open(viewer, tmp_path):
    dock = docked(viewer, TrainDock)
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
    predict = docked(viewer, PredictDock)
    predict.tick([viewer.layers["scan 1"]])
    finish(qtbot, predict, predict.predict_button.click)
    made = viewer.layers["scan 1 · run student"]
    assert made.data.shape == viewer.layers["scan 1"].data.shape
    assert set(np.unique(made.data)) <= {0, 3}
    np.testing.assert_allclose(made.scale, viewer.layers["scan 1"].scale)
    if kind == "process":
        assert ("torch" in sys.modules) == torch_before


def drop_labels(dock, *numbers):
    for number in numbers:
        dock.scans.choose(dock.scans.rows()[number].image, None, "training")


def test_a_scan_without_labels_joins_where_there_is_a_teacher_to_agree_with(dock):
    drop_labels(dock, 1)
    assert "set the batch size to 2 or more" in dock.preflight.text()
    dock.set_config(dock.config().updated({"training": {"batch_size": 2}}))
    assert dock.preflight.text().startswith("✓ 2 to train on")
    assert "1 of them has no labels and joins through the teacher" in dock.preflight.text()
    dock.set_config(dock.config().updated({"objective": {"consistency_weight": 0.0}}))
    assert "“scan 2” is for training but has no labels" in dock.preflight.text()
    dock.train()
    assert "let it join through the teacher" in dock.message.text()
    assert not session_of(dock._viewer).is_training


def test_labels_are_asked_for_where_no_training_scan_or_a_validation_scan_has_any(dock):
    drop_labels(dock, 0, 1)
    assert dock.preflight.text().startswith("⚠ No training scan has labels")
    dock.scans.pair()
    dock.scans.choose(dock.scans.rows()[1].image, None, "validation")
    assert "“scan 2” is for validation but has no labels" in dock.preflight.text()


def test_preflight_names_the_id_that_counts_as_unknown(dock):
    assert "unknown" not in dock.preflight.text()
    dock.set_config(dock.config().updated({"data": {"ignore_label": 255}}))
    assert "id 255 counts as unknown" in dock.preflight.text()


def test_regions_that_cannot_be_learned_are_told_when_train_is_pressed(dock, tmp_path):
    dock.regions.set_regions({"inner": (3,), "outer": (3, 4)})
    dock.train()
    assert "“outer” holds “inner” and must come before it" in dock.message.text()
    dock.regions.set_regions({"outer": (3, 255)})
    dock.set_config(dock.config().updated({"data": {"ignore_label": 255}}))
    dock.train()
    assert "“outer” holds the label of the unknown" in dock.message.text()
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_regions_unknown_voxels_and_scans_without_labels_are_trained_predicted_and_scored(
    dock, viewer, qtbot
):
    drawn = viewer.layers["scan 1 organs"].data
    drawn[8:11, 8:14, 8:14] = 4
    drawn[:3] = 255
    drop_labels(dock, 1)
    dock.regions.set_regions({"outer": (3, 4), "inner": (4,)})
    pairs = {"data": {"ignore_label": 255}, "training": {"batch_size": 2}}
    dock.set_config(dock.config().updated(pairs))
    finish(qtbot, dock, dock.train_button.click)
    assert "Finished 4 steps" in dock.message.text()
    spec = session_of(viewer).run.spec()
    assert spec.regions == {"outer": (3, 4), "inner": (4,)}
    assert [case.labels is None for case in spec.cases] == [False, True]

    predict = docked(viewer, PredictDock)
    predict.tick([viewer.layers["scan 1"]])
    finish(qtbot, predict, predict.predict_button.click)
    made = viewer.layers["scan 1 · run student"]
    assert set(np.unique(made.data)) <= {0, 1, 2}

    made.data = np.where(drawn == 4, 2, drawn == 3).astype(np.uint8)
    made.data[0] = 1
    compare = docked(viewer, CompareDock)
    compare.choose(made, viewer.layers["scan 1 organs"])
    with qtbot.waitSignal(compare.compared, timeout=60_000):
        compare.compare_button.click()
    assert [(score.class_name, score.dsc) for score in compare.scores] == [
        ("outer", 1.0),
        ("inner", 1.0),
    ]
    assert "outer = 3, 4; inner = 4" in compare.caption.text()
    assert "id 255 is unknown" in compare.caption.text()


def test_settings_come_back_next_time(dock, viewer, qtbot):
    dock.runner.setCurrentIndex(dock.runner.findData("thread"))
    finish(qtbot, dock, dock.train_button.click)
    again = TrainDock(viewer)
    qtbot.addWidget(again)
    assert again.config() == dock.config()
    assert again.runner.currentData() == "thread"


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
    qtbot.waitUntil(lambda: not run.is_alive(), timeout=120_000)
    assert run.last_step() > 0


def test_closing_by_the_user_is_asked_about_once_and_a_paused_run_goes_on_in_the_background(
    dock, viewer, qtbot, monkeypatch
):
    asked, answers = [], ["cancel", "continue"]
    monkeypatch.setattr(qt_main_window, "ConfirmCloseDialog", None)
    session = session_of(viewer)
    session.ask_on_close = lambda *_: asked.append(answers[len(asked)]) or asked[-1]
    dock.set_config(dock.config().updated({"training": {"steps": 100_000}}))
    dock.train()
    qtbot.waitUntil(lambda: dock.curves.points("dice_ce")[0] != [], timeout=60_000)
    window, run = viewer.window._qt_window, session.run
    # As napari's own, but that the window stays for the fixture to close.
    patched = pytest.MonkeyPatch()
    patched.setattr(window, "close", lambda: QApplication.sendEvent(window, QCloseEvent()))
    close_by_user(viewer)
    qtbot.waitUntil(lambda: asked == ["cancel"], timeout=5000)
    dock.pause_button.click()
    qtbot.waitUntil(lambda: dock.pause_button.text() == "Go on", timeout=120_000)
    assert session.is_training
    close_by_user(viewer)
    qtbot.waitUntil(lambda: not session.is_training, timeout=5000)
    patched.undo()
    assert asked == ["cancel", "continue"]
    assert run.command() == "run"
    assert run.is_alive()
    run.send("stop")
    qtbot.waitUntil(lambda: not run.is_alive(), timeout=120_000)
