"""The planner in the Train dock: what it found, the size it sets, the box that it draws."""

import subprocess
import sys

import numpy as np
import pytest
from dock_helpers import AFFINE, SHAPE

from napari_medcontext.core.patch_plan import ClassSight, PatchPlan, SizeSight
from napari_medcontext.core.volume import Volume
from napari_medcontext.scan_metadata import is_made
from napari_medcontext.widgets.patch_box import patch_sides

PLAN = PatchPlan(
    network="unet",
    batch_size=1,
    spacing=(1.0, 1.0, 2.0),
    scans=2,
    sights=tuple(
        SizeSight(
            size=size,
            extent_mm=(1.0, 1.0, 1.0),
            foreground=(0.0, 0.1, 0.2, 0.3, 0.4),
            beyond=0.0,
            classes=(
                ClassSight(
                    class_id=3,
                    name="box",
                    share=(0.1,) * 5,
                    whole=0.5,
                    ample=0.0,
                    length_mm=20.0,
                    context_mm=-2.0,
                ),
            ),
        )
        for size in ((32, 16, 16), (32, 32, 16))
    ),
    advised=(32, 32, 16),
    reason="Because.",
)


@pytest.fixture
def planner(train_dock):
    train_dock.patches.expand(animate=False)
    return train_dock.patches.planner


@pytest.fixture
def planned(planner):
    planner._show(PLAN, PLAN.reason)
    return planner


def test_dock_makes_the_planner_when_it_is_unfolded_first(train_dock):
    assert train_dock.patches.planner is None
    train_dock.patches.expand(animate=False)
    first = train_dock.patches.planner
    train_dock.patches.collapse(animate=False)
    train_dock.patches.expand(animate=False)
    assert train_dock.patches.planner is first
    assert not first.use_button.isVisible()


def test_dock_and_planner_import_no_torch_and_the_dock_no_plot_of_the_planner():
    code = (
        "import sys, napari_medcontext.widgets.train\n"
        "assert 'napari_medcontext.widgets.patch_planner' not in sys.modules\n"
        "import napari_medcontext.widgets.patch_planner\n"
        "sys.exit(bool({'torch', 'monai', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_press_plans_for_the_open_labels_in_a_process_of_its_own(planner, qtbot, temporary):
    planner.probe_box.setChecked(False)
    planner.plan_button.click()
    assert not planner.plan_button.isEnabled()
    qtbot.waitUntil(lambda: planner.plan is not None, timeout=120_000)
    assert planner.plan.scans == 2
    assert planner.plan.spacing == (1.0, 1.0, 2.0)
    (box,) = planner.plan.sights[0].classes
    assert (box.class_id, box.name, box.length_mm) == (3, "box", 20.0)
    assert planner.chosen == planner.plan.advised
    assert "is the smallest" in planner.message.text()
    assert planner.plan_button.isEnabled()
    qtbot.waitUntil(lambda: not list(temporary.iterdir()), timeout=10_000)


def test_labels_that_cannot_be_used_are_told(planner, viewer):
    for number in (1, 2):
        viewer.layers.remove(f"scan {number} organs")
    planner.plan_button.click()
    assert planner.message.text().startswith("⚠")
    assert planner.plan_button.isEnabled()


def test_recommended_row_is_chosen_and_its_size_is_used_by_one_press(planned, train_dock):
    assert planned.message.text() == "Because."
    texts = [planned.table.item(row, 0).text() for row in range(2)]
    assert texts == ["32×16×16", "32×32×16 ←"]
    assert train_dock.config().data.patch_size == (32, 16, 16)
    planned.use_button.click()
    assert train_dock.config().data.patch_size == (32, 32, 16)
    planned.table.setCurrentCell(0, 2)
    planned.use_button.click()
    assert train_dock.config().data.patch_size == (32, 16, 16)


def test_patch_is_drawn_round_the_organ_and_renewed_in_place(planned, viewer):
    selected = set(viewer.layers.selection)
    planned.table.setCurrentCell(0, 0)
    planned.show_button.click()
    (layer,) = (layer for layer in viewer.layers if "patch" in layer.name)
    assert is_made(layer)
    assert set(viewer.layers.selection) == selected
    # 16 voxels of 2 mm along z, which lies first in the viewer, all of them in the scan.
    slices = np.array([shape[0, 0] for shape in layer.data])
    assert len(slices) == 16
    corners = np.concatenate(layer.data)
    assert np.ptp(corners[:, 2]) == 32.0
    assert np.ptp(corners[:, 1]) == 16.0
    planned.table.setCurrentCell(1, 0)
    planned.show_button.click()
    (renewed,) = (layer for layer in viewer.layers if "patch" in layer.name)
    assert np.ptp(np.concatenate(renewed.data)[:, 1]) == 32.0


def test_patch_lies_where_a_training_would_cut_it_whatever_the_axes():
    array = np.zeros(SHAPE, np.uint8)
    array[0:4, 10:12, 8:10] = 1
    labels = Volume(array, AFFINE, "labels")
    size, spacing = (8, 12, 30), (1.0, 1.0, 2.0)
    x, y, z = patch_sides(labels, size, spacing)
    # Moved into the scan along x, centred along y, beyond the scan on both sides along z.
    assert x == (-0.5, 7.5)
    assert y == (4.5, 16.5)
    assert z == (-5.5, 24.5)
    assert patch_sides(labels.reoriented("SPR"), size, spacing)[0] == z
