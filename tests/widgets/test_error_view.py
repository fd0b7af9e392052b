import numpy as np
import pytest
from dock_helpers import docked
from napari.layers import Shapes
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QApplication

from napari_medcontext.core.error_map import INVENTED, MISSED, OTHER_CLASS, RIGHT
from napari_medcontext.overlays import shown_over
from napari_medcontext.pairing import pair_layers
from napari_medcontext.widgets.compare import CompareDock
from napari_medcontext.widgets.error_layers import BOXES, ERRORS
from napari_medcontext.widgets.error_view import ErrorView

SCALE = (5.0, 2.0, 1.0)


@pytest.fixture
def reference(viewer):
    array = np.zeros((10, 20, 30), np.uint8)
    array[2:6, 4:10, 4:10] = 1
    array[7, 12:16, 12:16] = 2
    return add(viewer, array, "organs")


@pytest.fixture
def prediction(viewer, reference):
    array = reference.data.copy()
    array[5, 4:10, 4:10] = 0
    array[3, 10:12, 4:10] = 1
    array[2, 4:6, 4:6] = 2
    return add(viewer, array, "predicted", prediction_of="scan")


@pytest.fixture
def dock(viewer, qtbot, prediction, reference):
    dock = docked(viewer, CompareDock)
    dock.choose(prediction, reference)
    with qtbot.waitSignal(dock.compared, timeout=60_000):
        dock.compare_button.click()
    return dock


def add(viewer, array, name, beginning=100.0, **medcontext):
    return viewer.add_labels(
        array,
        name=name,
        scale=SCALE,
        translate=(beginning, 0.0, 0.0),
        units=("mm",) * 3,
        metadata={"medcontext": medcontext},
    )


def look_at(dock, qtbot, row: int) -> None:
    with qtbot.waitSignal(dock.errors.shown, timeout=60_000):
        dock.table.selectRow(row)


def errors_of(viewer) -> np.ndarray:
    return np.asarray(shown_over(viewer, ERRORS).data)


def test_chosen_class_alone_is_shown_right_and_wrong(viewer, dock, qtbot, prediction, reference):
    look_at(dock, qtbot, 0)
    errors = errors_of(viewer)
    first, second = prediction.data == 1, reference.data == 1
    assert ((errors == RIGHT) == (first & second)).all()
    assert ((errors == INVENTED) == (first & ~second)).all()
    assert ((errors == MISSED) == (second & ~first)).all()
    layer = shown_over(viewer, ERRORS)
    assert list(layer.scale) == list(reference.scale)
    assert list(layer.translate) == list(reference.translate)
    assert "class 1" in dock.errors.title.text()
    look_at(dock, qtbot, 1)
    assert (errors_of(viewer)[2, 4:6, 4:6] == INVENTED).all()
    assert len([layer for layer in viewer.layers if "errors" in layer.name]) == 1


def test_prediction_that_was_renamed_since_is_still_looked_at(viewer, dock, qtbot, prediction):
    prediction.name = "attempt 2"
    look_at(dock, qtbot, 0)
    assert "attempt 2" in dock.errors.title.text()
    assert (errors_of(viewer)[5, 4:10, 4:10] == MISSED).all()


def test_row_jumps_to_its_worst_slice_and_the_curve_marks_it(viewer, dock, qtbot, reference):
    camera = viewer.scene.camera.zoom
    look_at(dock, qtbot, 0)
    assert viewer.dims.point[0] == pytest.approx(100 + 5 * 5.0)
    assert dock.errors.curve._here.value() == 5
    assert viewer.scene.camera.zoom == camera
    by_slice = dock.errors._found.by_slice
    assert by_slice[5] == 0
    assert by_slice[4] == 1
    assert np.isnan(by_slice[9])


def test_curve_and_its_arrow_keys_go_to_a_slice(viewer, dock, qtbot):
    look_at(dock, qtbot, 0)
    dock.errors.curve.slice_asked.emit(3)
    assert viewer.dims.point[0] == pytest.approx(100 + 3 * 5.0)
    qtbot.keyClick(dock.errors.curve, Qt.Key.Key_Right)
    assert viewer.dims.point[0] == pytest.approx(100 + 4 * 5.0)


def test_errors_come_largest_first_and_the_next_is_gone_to(viewer, dock, qtbot):
    look_at(dock, qtbot, 0)
    texts = [dock.errors.largest.item(row).text() for row in range(dock.errors.largest.count())]
    assert texts[0] == "0.36 ml missed (false negative), slice 5"
    assert texts[1] == "0.12 ml invented (false positive), slice 3"
    dock.errors.go_next()
    dock.errors.go_next()
    assert viewer.dims.point[0] == pytest.approx(100 + 3 * 5.0)


def test_errors_that_cannot_be_looked_for_are_told(dock, qtbot, monkeypatch):
    from napari_medcontext.widgets import error_finder

    def broken(*_):
        raise RuntimeError("no memory left")

    monkeypatch.setattr(error_finder, "errors_between", broken)
    with qtbot.waitSignal(dock.errors.failed, timeout=60_000):
        dock.table.selectRow(0)
    assert "no memory left" in dock.error.text()


def test_all_classes_show_one_in_the_place_of_another(viewer, dock, qtbot):
    with qtbot.waitSignal(dock.errors.shown, timeout=60_000):
        dock.all_button.click()
    assert (errors_of(viewer)[2, 4:6, 4:6] == OTHER_CLASS).all()
    assert "another&nbsp;class" in dock.errors.legend.text()


def test_outline_boxes_and_switching_off(viewer, dock, qtbot, prediction):
    look_at(dock, qtbot, 0)
    dock.errors.style.setCurrentText("outline")
    assert shown_over(viewer, ERRORS).contour == 1
    dock.errors.boxes_box.setChecked(True)
    boxes = shown_over(viewer, BOXES)
    assert isinstance(boxes, Shapes)
    assert next(iter(boxes.features["volume"])) == "0.36 ml"
    corners = np.asarray(boxes.data[0])
    assert set(corners[:, 0]) == {5}
    assert (corners[:, 1:].min(axis=0) == 3.5).all()
    assert (corners[:, 1:].max(axis=0) == 9.5).all()
    dock.errors.boxes_box.setChecked(False)
    dock.errors.errors_box.setChecked(False)
    assert shown_over(viewer, BOXES) is shown_over(viewer, ERRORS) is None
    assert prediction in viewer.layers


@pytest.mark.parametrize("beginning", [100.0, 97.5, 98.7])
def test_boxes_are_seen_wherever_the_slider_stops_beside_other_layers(
    viewer, dock, qtbot, beginning
):
    add(viewer, np.zeros((20, 20, 30), np.uint8), "another", beginning)
    look_at(dock, qtbot, 0)
    dock.errors.boxes_box.setChecked(True)
    boxes = shown_over(viewer, BOXES)
    seen = []
    for step in range(viewer.dims.nsteps[0]):
        viewer.dims.set_current_step(0, step)
        # What napari draws of a layer of shapes, it tells nowhere else.
        if len(boxes._data_view.displayed_vertices):
            seen.append(viewer.dims.point[0])
    # Class 1 is wrong on slices 2, 3 and 5 of the reference.
    assert seen == pytest.approx([110, 115, 125], abs=2.5)


def test_layers_of_the_user_stay_as_they_are(viewer, dock, qtbot, prediction, reference):
    reference.visible = False
    prediction.opacity = 0.4
    viewer.layers.selection = {prediction}
    look_at(dock, qtbot, 0)
    dock.errors.boxes_box.setChecked(True)
    assert (reference.visible, prediction.opacity) == (False, 0.4)
    assert set(viewer.layers.selection) == {prediction}
    assert dock.prediction_box.layers == [reference, prediction]
    image = viewer.add_image(
        np.zeros((10, 20, 30)), scale=SCALE, translate=(100.0, 0.0, 0.0), units=("mm",) * 3
    )
    assert pair_layers([image], [shown_over(viewer, ERRORS)]) == [(image, None)]
    assert pair_layers([image], [reference]) == [(image, reference)]


def test_class_alone_is_shown_for_a_while_and_all_is_put_back(
    viewer, dock, qtbot, prediction, reference
):
    prediction.selected_label = 7
    look_at(dock, qtbot, 1)
    dock.errors.alone_box.setChecked(True)
    for layer in (prediction, reference):
        assert (layer.selected_label, layer.show_selected_label) == (2, True)
    look_at(dock, qtbot, 0)
    assert (reference.selected_label, reference.show_selected_label) == (1, True)
    dock.errors.alone_box.setChecked(False)
    assert (prediction.selected_label, prediction.show_selected_label) == (7, False)
    assert not reference.show_selected_label
    dock.errors.alone_box.setChecked(True)
    viewer.layers.remove(reference)
    assert not prediction.show_selected_label


def test_layers_are_as_they_were_while_nobody_looks_at_errors(viewer, qtbot, prediction, reference):
    errors = ErrorView(viewer)
    qtbot.addWidget(errors)
    errors.show()
    with qtbot.waitSignal(errors.shown, timeout=60_000):
        errors.look_at(prediction, reference, 1, "liver")
    assert prediction.show_selected_label
    errors.hide()
    assert not prediction.show_selected_label
    assert not reference.show_selected_label
    errors.show()
    assert reference.show_selected_label


def test_errors_layer_that_was_deleted_comes_back_and_gone_references_end_it(
    viewer, dock, qtbot, reference
):
    look_at(dock, qtbot, 0)
    viewer.layers.remove(shown_over(viewer, ERRORS))
    look_at(dock, qtbot, 1)
    assert shown_over(viewer, ERRORS) is not None
    viewer.layers.remove(reference)
    assert shown_over(viewer, ERRORS) is None
    dock.errors.go_worst()
    dock.table.selectRow(0)


def test_correction_by_the_user_is_seen_at_the_next_look(
    viewer, dock, qtbot, prediction, reference
):
    look_at(dock, qtbot, 0)
    prediction.data[5] = reference.data[5]
    look_at(dock, qtbot, 1)
    look_at(dock, qtbot, 0)
    assert not (errors_of(viewer)[5] == MISSED).any()


def test_picture_has_the_canvas_its_legend_and_its_caption(viewer, dock, qtbot, tmp_path):
    look_at(dock, qtbot, 0)
    zoom = viewer.scene.camera.zoom
    dock.save_picture(tmp_path / "figure.png")
    QApplication.processEvents()
    figure = QImage(str(tmp_path / "figure.png"))
    canvas = viewer.window._qt_viewer.canvas.native
    assert figure.width() > 1.5 * canvas.width()
    assert figure.height() > 1.5 * canvas.height()
    assert viewer.scene.camera.zoom == zoom
    colours = {
        figure.pixelColor(x, y).name()
        for x in range(0, figure.width(), 3)
        for y in range(figure.height() - 150, figure.height(), 3)
    }
    assert {"#009e73", "#d55e00", "#56b4e9", "#ffffff"} <= colours
    legend, caption = dock.errors.explained()
    assert [name for name, _ in legend] == [
        "right",
        "invented (false positive)",
        "missed (false negative)",
    ]
    assert caption == "class 1, slice 5 of 10. "


def test_picture_that_cannot_be_written_is_told(dock, monkeypatch, tmp_path):
    shown: list[str] = []
    monkeypatch.setattr("napari_medcontext.widgets.compare.show_error", shown.append)
    (tmp_path / "file").touch()
    dock.save_picture(tmp_path / "file" / "figure.png")
    assert "cannot be written" in dock.error.text()
    assert shown
