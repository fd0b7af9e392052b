import csv
import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
from dock_helpers import docked
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QLabel,
    QListWidget,
    QPushButton,
    QTableWidget,
)

from napari_medcontext.core.prediction_plan import LEDGER
from napari_medcontext.widgets.compare import CompareDock
from napari_medcontext.widgets.fold import Fold

ABDOMENS = Path(__file__).parents[3] / "shared" / "data" / "abdomen_labels"
CASE, GAIN, DSC, HD95, NSD, DIFFERENCE, STATUS = 1, 2, 3, 4, 6, 9, 10
NAMES = {1: "liver", 2: "spleen", 3: "pancreas", 4: "aorta"}
SCALE = (5.0, 2.0, 1.0)


@pytest.fixture
def reference(viewer):
    array = np.zeros((10, 9, 8), dtype=np.uint8)
    array[1:5, 1:5, 1:5] = 1
    array[6, 6, 6] = 2
    return add_labels(viewer, array, "organs", class_names=NAMES)


@pytest.fixture
def prediction(viewer, reference):
    array = reference.data.copy()
    array[1:5, 1:5, 1] = 0
    array[6, 6, 6] = 0
    array[9, 0, 0] = 3
    return add_labels(viewer, array, "organs, predicted", prediction_of="scan")


@pytest.fixture
def dock(viewer, prediction):
    return docked(viewer, CompareDock)


def add_labels(viewer, array, name, *, translate=(0.0, 0.0, 0.0), class_names=None, **medcontext):
    names = class_names or {}
    return viewer.add_labels(
        array,
        features={"index": list(names), "class": list(names.values())},
        name=name,
        scale=SCALE,
        translate=translate,
        units=("mm",) * 3,
        metadata={"medcontext": medcontext},
    )


def press_compare(dock, qtbot) -> None:
    with qtbot.waitSignal(dock.compared, timeout=120_000):
        qtbot.mouseClick(dock.compare_button, Qt.MouseButton.LeftButton)


def press_row(dock, qtbot, index: int) -> None:
    with qtbot.waitSignal(dock.errors.shown, timeout=60_000):
        dock.table.selectRow(index)


def column(dock, index: int) -> list[str]:
    return [dock.table.item(row, index).text() for row in range(dock.table.rowCount())]


def test_prediction_and_its_reference_are_chosen_by_themselves(dock, prediction, reference):
    assert dock.prediction_box.layer is prediction
    assert dock.reference_box.layer is reference


def test_reference_is_one_that_lies_on_the_same_grid(viewer, dock, reference):
    moved = add_labels(viewer, reference.data, "elsewhere", translate=(50, 0, 0))
    predicted = add_labels(
        viewer, reference.data, "elsewhere, predicted", translate=(50, 0, 0), prediction_of="b"
    )
    assert dock.prediction_box.layer is predicted
    assert dock.reference_box.layer is moved


def test_labels_beside_a_ledger_of_predictions_are_taken_for_the_prediction(viewer, tmp_path):
    (tmp_path / LEDGER).touch()
    array = np.ones((4, 5, 6), np.uint8)
    predicted = add_labels(viewer, array, "left labels", path=str(tmp_path / "left.nii.gz"))
    drawn = add_labels(viewer, array, "left labels [1]")
    dock = docked(viewer, CompareDock)
    assert dock.prediction_box.layer is predicted
    assert dock.reference_box.layer is drawn


def test_compare_fills_the_table_and_says_the_mean(dock, qtbot):
    press_compare(dock, qtbot)
    assert column(dock, 0) == ["liver", "spleen", "pancreas", "aorta"]
    assert column(dock, DSC) == ["0.857", "0.000", "0.000", "–"]
    assert column(dock, HD95) == ["1.00", "–", "–", "–"]
    assert column(dock, NSD) == ["1.000", "0.000", "0.000", "–"]
    assert column(dock, DIFFERENCE) == ["-0.2", "-0.0", "+0.0", "+0.0"]
    assert column(dock, STATUS) == ["found", "missed", "invented", "in neither"]
    assert "DSC 0.286 · NSD 0.333 over 3 · HD95 1.0 mm" in dock.summary.text()
    assert "over 1 of 3, 1 missed, 1 invented" in dock.summary.text()
    assert dock.caption.text().startswith("“organs, predicted” against “organs”. HD95: the larger")
    assert "within 2 mm" in dock.caption.text()
    assert dock.table.isColumnHidden(CASE)
    assert dock.table.isColumnHidden(GAIN)
    assert dock.compare_button.isEnabled()
    assert dock.error.isHidden()


def test_swatches_have_the_colours_of_the_reference_layer(dock, qtbot, reference):
    reference.show_selected_label = True
    press_compare(dock, qtbot)
    for row, class_id in enumerate([1, 2, 3]):
        shown = dock.table.item(row, 0).icon().pixmap(14, 14).toImage().pixelColor(7, 7).getRgbF()
        assert shown == pytest.approx(tuple(reference.colormap.map(class_id)), abs=0.01)


def test_two_predictions_of_regions_are_compared_by_their_numbers(
    viewer, dock, qtbot, prediction, reference
):
    regions = {"outer": (7, 9), "inner": (9,)}
    for layer in (prediction, reference):
        noted = {"affine": np.eye(4), "shown": np.eye(4), "regions": regions}
        layer.metadata = {"medcontext": layer.metadata["medcontext"] | noted}
    dock.choose(prediction, reference)
    press_compare(dock, qtbot)
    assert [score.class_id for score in dock.scores] == [1, 2, 3, 4]
    assert "regions" not in dock.caption.text()


def test_columns_sort_by_value_with_what_is_not_measurable_last(dock, qtbot):
    press_compare(dock, qtbot)
    dock.table.sortItems(DSC, Qt.SortOrder.AscendingOrder)
    assert column(dock, DSC) == ["0.000", "0.000", "0.857", "–"]
    press_compare(dock, qtbot)
    assert column(dock, DSC) == ["0.000", "0.000", "0.857", "–"]


def test_button_waits_while_it_compares(dock, qtbot):
    with qtbot.waitSignal(dock.compared, timeout=120_000):
        dock.compare_button.click()
        assert not dock.compare_button.isEnabled()
    assert dock.compare_button.isEnabled()


def test_copy_and_save_hold_the_same_scores(dock, qtbot, tmp_path):
    assert not dock.copy_button.isEnabled()
    press_compare(dock, qtbot)
    dock.copy_button.click()
    copied = [line.split("\t") for line in QApplication.clipboard().text().splitlines()]
    dock.save(tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == copied
    assert copied[1][:4] == ["organs, predicted", "1", "liver", "found"]


@pytest.fixture
def errors(monkeypatch):
    """Collect what goes to napari's notifications, which tests would raise instead."""
    shown: list[str] = []
    monkeypatch.setattr("napari_medcontext.widgets.compare.show_error", shown.append)
    return shown


def test_layers_that_do_not_overlie_are_named_in_the_dock_and_in_napari(
    viewer, dock, qtbot, errors, prediction
):
    other = add_labels(viewer, np.ones((3, 4, 5), dtype=np.uint8), "knee")
    dock.choose(prediction, other)
    press_compare(dock, qtbot)
    assert not dock.error.isHidden()
    told = "The prediction “organs, predicted” and the reference “knee” lie on different grids"
    assert told in dock.error.text()
    assert errors == [dock.error.text()]
    assert dock.scores == []


def test_same_layer_twice_is_refused(dock, qtbot, errors, prediction):
    dock.choose(prediction, prediction)
    press_compare(dock, qtbot)
    assert "two different label layers" in dock.error.text()


def test_without_layers_compare_says_what_is_missing(viewer, qtbot, errors):
    dock = CompareDock(viewer)
    qtbot.addWidget(dock)
    press_compare(dock, qtbot)
    assert "No prediction is chosen" in dock.error.text()
    assert errors == [dock.error.text()]


def test_unexpected_failure_is_told_and_the_button_comes_back(dock, qtbot, errors, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("out of luck")

    monkeypatch.setattr("napari_medcontext.widgets.comparison.evaluate_volumes", fail)
    press_compare(dock, qtbot)
    assert "out of luck" in dock.error.text()
    assert dock.compare_button.isEnabled()


def test_scores_that_cannot_be_saved_are_told(dock, qtbot, errors, tmp_path):
    press_compare(dock, qtbot)
    (tmp_path / "file").touch()
    dock.save(tmp_path / "file" / "scores.csv")
    assert "cannot be written" in dock.error.text()


def test_renamed_or_moved_layer_stays_chosen(viewer, dock, prediction, reference):
    prediction.name = "attempt 2"
    viewer.layers.move(0, 2)
    assert dock.prediction_box.layer is prediction
    assert dock.prediction_box.currentText() == "attempt 2"
    assert dock.reference_box.layer is reference


def test_removed_layer_is_shown_as_removed_and_none_takes_its_place(viewer, dock, reference):
    viewer.layers.remove(reference)
    assert dock.reference_box.layer is None
    assert dock.reference_box.placeholderText() == "“organs” was removed"
    add_labels(viewer, reference.data, "organs")
    assert dock.reference_box.layer is None


def test_choice_made_by_hand_is_not_replaced_by_a_new_prediction(viewer, dock, prediction):
    dock.choose(prediction)
    add_labels(viewer, prediction.data, "another", prediction_of="scan")
    assert dock.prediction_box.layer is prediction


def test_comparison_does_not_hold_the_voxels_of_removed_layers(viewer, dock, qtbot, prediction):
    voxels = weakref.ref(prediction.data)
    press_compare(dock, qtbot)
    prediction.data = np.zeros_like(prediction.data)
    qtbot.wait(200)
    gc.collect()
    assert voxels() is None


def test_definitions_and_classes_are_those_that_are_chosen(dock, qtbot):
    dock.scoring.hd95.setCurrentText("pooled")
    dock.scoring.tolerance.setValue(0.5)
    dock.scoring.classes.setText("spleen, 1")
    press_compare(dock, qtbot)
    assert column(dock, 0) == ["liver", "spleen"]
    assert {score.hd95_definition for score in dock.scores} == {"pooled"}
    assert dock.scores[0].nsd < 1
    assert "both directions' distances together" in dock.caption.text()
    assert "within 0.5 mm" in dock.caption.text()
    assert "pooled" in dock.scoring.fold.text()


def test_class_that_nobody_has_is_refused_by_name(dock, qtbot, errors):
    dock.scoring.classes.setText("heart")
    press_compare(dock, qtbot)
    assert "no class “heart”" in dock.error.text()
    assert "liver" in dock.error.text()


def test_other_predictions_are_scored_beside_the_first(viewer, dock, qtbot, prediction, reference):
    worse = prediction.data.copy()
    worse[1:5, 1:5, 2] = 0
    other = add_labels(viewer, worse, "baseline", prediction_of="scan")
    dock.choose(prediction, reference)
    ticks = dock.findChild(QListWidget, "compare_others")
    assert [ticks.item(row).text() for row in range(ticks.count())] == ["baseline"]
    ticks.item(0).setCheckState(Qt.CheckState.Checked)
    press_compare(dock, qtbot)
    assert column(dock, CASE) == ["organs, predicted"] * 4 + ["baseline"] * 4
    assert column(dock, GAIN)[:5] == ["–"] * 4 + ["+0.190"]
    assert "the first is better by +0.063" in dock.summary.text()
    press_row(dock, qtbot, 4)
    assert "baseline" in dock.errors.title.text()
    viewer.layers.remove(other)
    assert dock.errors.title.text().startswith("Press a row")


def test_every_control_has_a_name_and_says_what_it_does(dock):
    found = [*dock.findChildren(QComboBox), *dock.findChildren(QPushButton)]
    # A fold's own button has its fold's name and tip.
    controls = [control for control in found if not isinstance(control.parent(), Fold)]
    assert {control.objectName() for control in controls} == {
        "compare_prediction",
        "compare_reference",
        "compare_button",
        "compare_copy",
        "compare_save",
        "compare_picture",
        "compare_all",
        "compare_hd95",
        "compare_nsd",
        "cleaning_start",
        "errors_style",
        "errors_worst",
        "errors_next",
    }
    for control in controls:
        assert control.toolTip()
        assert control.focusPolicy() & Qt.FocusPolicy.TabFocus
    names = {widget.objectName() for widget in dock.findChildren(QLabel)}
    assert {"compare_summary", "compare_caption", "compare_error"} <= names
    assert dock.findChild(QTableWidget, "compare_table").focusPolicy() & Qt.FocusPolicy.TabFocus


def test_dock_removed_from_the_window_leaves_the_viewer_alone(viewer, dock, reference):
    viewer.window.remove_dock_widget(dock)
    dock.deleteLater()
    QApplication.sendPostedEvents(dock, 52)
    add_labels(viewer, reference.data, "later")


@pytest.mark.realdata
@pytest.mark.skipif(not ABDOMENS.is_dir(), reason="the real volumes are not here")
def test_thirteen_organs_of_a_real_abdomen_are_compared(make_napari_viewer, qtbot, tmp_path):
    from napari_medcontext.core.io import read_volume

    viewer = make_napari_viewer(show=True)
    for side, medcontext in (("b", {}), ("a", {"prediction_of": "case_01"})):
        volume = read_volume(ABDOMENS / f"case_01_{side}.nii.gz").reoriented("IPL")
        viewer.add_labels(
            volume.array,
            name=f"case_01_{side}",
            scale=volume.spacing,
            units=("mm",) * 3,
            metadata={"medcontext": medcontext},
        )
    dock = docked(viewer, CompareDock)
    press_compare(dock, qtbot)
    assert len(dock.scores) == 13
    assert dock.table.item(1, HD95).text() == "6.00"
    picture = tmp_path / "compare.png"
    assert dock.grab().save(str(picture))
    assert picture.stat().st_size > 5_000
    assert "13 of 13" in dock.summary.text()
