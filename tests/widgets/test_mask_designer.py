"""The mask designer draws what a training would hide, in place of what it drew before."""

import numpy as np
import pytest
from dock_helpers import AFFINE, SHAPE, add_scan, docked
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QPushButton, QTableWidget

from napari_medcontext.core.mask_design import TrainingGrid, design_mask
from napari_medcontext.core.volume import Volume
from napari_medcontext.scan_metadata import is_made
from napari_medcontext.widgets.inspect import InspectDock
from napari_medcontext.widgets.labels_box import LabelsBox
from napari_medcontext.widgets.mask_plan import train_dock
from napari_medcontext.widgets.train import TrainDock

MASK = "scan 1 · mask"


@pytest.fixture
def viewer(viewer):
    add_scan(viewer, 1)
    return viewer


@pytest.fixture
def dock(viewer):
    return docked(viewer, InspectDock)


@pytest.fixture
def designer(dock, qtbot, settled):
    made = dock.unfold("mask")
    made.form.set_values({"block_size": 4})
    made.draw()
    settled(made)
    return made


@pytest.fixture
def settled(qtbot):
    """Wait until the newest mask and its shares are shown."""

    def wait(made):
        qtbot.waitUntil(
            lambda: not made._masks.is_busy and not made._shares.is_busy, timeout=60_000
        )

    return wait


def test_mask_is_shown_on_the_scan_as_a_training_would_draw_it(viewer, designer):
    layer = viewer.layers[MASK]
    config = designer._plan.config.updated({"masking": {"block_size": 4}})
    grid = TrainingGrid((1.0, 1.0, 2.0), 2)
    scan = Volume(np.broadcast_to(np.uint8(0), SHAPE), AFFINE)
    expected = design_mask(scan, config, grid, 0).volume
    shown = np.asarray(layer.data)
    assert shown.dtype == np.uint8
    np.testing.assert_array_equal(shown, expected.reoriented("IPL").array)
    np.testing.assert_allclose(layer.extent.world, viewer.layers["scan 1"].extent.world)
    assert "38.9 % of the scan is hidden" in designer.message.text()
    assert "columns along z, chosen by itself" in designer.message.text()
    assert "4 × 4 × 4 voxels or 4 × 4 × 8 mm" in designer.message.text()


def test_table_says_what_is_hidden_of_each_organ(viewer, designer):
    mask, organ = viewer.layers[MASK].data, viewer.layers["scan 1 organs"].data
    share = 100 * mask[np.asarray(organ) == 3].mean()
    assert designer.table.texts() == [["box", f"{share:.1f}", "2.0"]]


def test_another_spacing_gives_another_grid_in_the_same_place(
    viewer, designer, settled, train_dock
):
    train_dock.set_config(train_dock.config().updated({"data": {"spacing": (2.0, 2.0, 2.5)}}))
    designer.draw()
    settled(designer)
    layer = viewer.layers[MASK]
    assert layer.data.shape == (16, 12, 12)
    np.testing.assert_allclose(layer.scale, (2.5, 2, 2), rtol=0.01)
    np.testing.assert_allclose(
        layer.extent.world.mean(0), viewer.layers["scan 1"].extent.world.mean(0), atol=1e-6
    )
    assert "the Train dock's settings" in designer.message.text()


@pytest.mark.parametrize("moved", ["scale", "translate", "rotate"])
def test_mask_lies_on_a_scan_that_was_moved(viewer, designer, settled, moved):
    scan = viewer.layers["scan 1"]
    turn = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
    value = {"scale": (4, 3, 2), "translate": (5, 6, 7), "rotate": turn}[moved]
    for layer in (scan, viewer.layers["scan 1 organs"]):
        setattr(layer, moved, value)
    designer.draw()
    settled(designer)
    mask = viewer.layers[MASK]
    for corner in ((0, 0, 0), (19, 23, 5)):
        np.testing.assert_allclose(
            mask.data_to_world(np.array(corner) * (np.array(mask.data.shape) - 1) / (19, 23, 23)),
            scan.data_to_world(np.array(corner) * (np.array(scan.data.shape) - 1) / (19, 23, 23)),
            atol=0.01,
        )


def test_layers_do_not_pile_up_and_the_users_are_left_alone(viewer, designer, settled, qtbot):
    viewer.layers.selection = {viewer.layers["scan 1"]}
    before = np.asarray(viewer.layers[MASK].data).copy()
    states = {layer.name: (layer.visible, layer.opacity) for layer in viewer.layers}
    qtbot.mouseClick(designer.draw_button, Qt.MouseButton.LeftButton)
    settled(designer)
    assert designer.seed_box.value() == 1
    assert not np.array_equal(before, viewer.layers[MASK].data)
    assert [layer.name for layer in viewer.layers] == ["scan 1", "scan 1 organs", MASK]
    assert {layer.name: (layer.visible, layer.opacity) for layer in viewer.layers} == states
    assert viewer.layers.selection == {viewer.layers["scan 1"]}


def test_adding_the_mask_keeps_the_selection_and_it_is_no_reference(viewer, dock, settled):
    viewer.layers.selection = {viewer.layers["scan 1"]}
    settled(dock.unfold("mask"))
    assert viewer.layers.selection == {viewer.layers["scan 1"]}
    assert is_made(viewer.layers[MASK])
    assert not viewer.layers[MASK].editable
    box = LabelsBox("any", "")
    box.show_layers([viewer.layers["scan 1 organs"], viewer.layers[MASK]])
    assert [box.itemText(index) for index in range(box.count())] == ["scan 1 organs"]


def test_another_scan_takes_the_mask_along(viewer, dock, designer, settled):
    add_scan(viewer, 2)
    dock.inputs.choose(viewer.layers["scan 2"])
    assert dock.inputs.labels is viewer.layers["scan 2 organs"]
    settled(designer)
    assert "scan 2 · mask" in viewer.layers
    assert MASK not in viewer.layers


def test_settings_go_to_the_train_dock_which_opens(viewer, designer, qtbot):
    assert train_dock(viewer) is None
    designer.form.set_values({"scheme": "blocks", "ratio": 0.3, "block_size_mm": 6.0, "axis": "y"})
    qtbot.mouseClick(designer.use_button, Qt.MouseButton.LeftButton)
    masking = train_dock(viewer).config().masking
    assert (masking.scheme, masking.ratio, masking.block_size, masking.block_size_mm) == (
        "blocks",
        0.3,
        4,
        6.0,
    )
    assert masking.axis == "y"


def test_designer_begins_with_the_train_docks_settings(viewer, train_dock, qtbot):
    train_dock.set_config(train_dock.config().updated({"masking": {"ratio": 0.25}}))
    made = docked(viewer, InspectDock).unfold("mask")
    assert made.form.values()["ratio"] == 0.25
    assert isinstance(train_dock, TrainDock)


def test_wrong_settings_are_told_and_mended(viewer, designer, settled):
    designer.form.set_values({"site": "tokens"})
    designer.draw()
    settled(designer)
    assert "has no tokens" in designer.message.text()
    designer.form.set_values({"ratio_range": (0.9, 0.1), "site": "voxels"})
    designer.draw()
    assert "lowest mask ratio" in designer.message.text()
    designer.form.set_values({"ratio_range": None})
    designer.draw()
    settled(designer)
    assert "% of the scan is hidden" in designer.message.text()


def test_removed_mask_stays_away_until_it_is_asked_for(viewer, designer, settled):
    viewer.layers.remove(MASK)
    assert not designer.live_box.isChecked()
    designer.draw()
    settled(designer)
    assert MASK not in viewer.layers
    designer.live_box.setChecked(True)
    settled(designer)
    assert MASK in viewer.layers
    designer.live_box.setChecked(False)
    assert MASK not in viewer.layers


def test_scan_removed_amid_a_draw_leaves_a_message(viewer, designer, settled):
    designer.new_draw()
    viewer.layers.clear()
    settled(designer)
    assert len(viewer.layers) == 0
    designer.live_box.setChecked(True)
    designer.draw()
    assert "No scan is chosen" in designer.message.text()


def test_labels_of_another_scan_are_refused_by_name(viewer, dock, designer, settled):
    other = viewer.add_labels(np.ones((5, 6, 7), np.uint8), name="knee")
    dock.inputs.choose(viewer.layers["scan 1"], other)
    settled(designer)
    assert "“knee” does not lie on “scan 1”" in designer.message.text()


def test_structure_without_labels_says_that_only_decoys_are_drawn(viewer, designer, settled):
    viewer.layers.remove("scan 1 organs")
    designer.form.set_values({"scheme": "structure"})
    designer.draw()
    settled(designer)
    assert "only decoys" in designer.message.text()
    assert designer.table.isHidden()


def test_everything_has_a_name_and_a_tooltip(viewer, dock, designer):
    for widget in designer.findChildren(QPushButton) + designer.findChildren(QTableWidget):
        if widget.objectName().startswith("qt_"):
            continue
        assert widget.objectName(), widget
        assert widget.toolTip() or isinstance(widget, QTableWidget), widget.objectName()
    assert dock.childAt(QPoint(5, 5)) is not None


def test_3d_button_turns_the_main_window(viewer, designer, qtbot):
    qtbot.mouseClick(designer.volume_button, Qt.MouseButton.LeftButton)
    assert viewer.dims.ndisplay == 3
    designer.volume_button.click()
    assert viewer.dims.ndisplay == 2
