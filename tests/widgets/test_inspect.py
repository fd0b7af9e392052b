"""The Inspect dock asks a run that stays loaded; whatever vanishes meanwhile is told."""

import csv
import shutil
import subprocess
import sys

import numpy as np
import pytest
from dock_helpers import docked
from qtpy.QtCore import QPointF, Qt
from qtpy.QtWidgets import QComboBox, QProgressBar, QPushButton, QSpinBox

from napari_medcontext.core.events import ProbeFinished
from napari_medcontext.core.io import read_volume
from napari_medcontext.core.probe import ProbeRow
from napari_medcontext.core.run import RunFolder
from napari_medcontext.layer_data import image_layer_data, labels_layer_data
from napari_medcontext.scan_metadata import is_made
from napari_medcontext.widgets.docks import open_dock
from napari_medcontext.widgets.inspect import InspectDock
from napari_medcontext.widgets.organ_table import ROW_HEIGHT
from napari_medcontext.widgets.preferences import load_preferences
from napari_medcontext.widgets.probe import organ_rows
from napari_medcontext.widgets.session import session_of

SECTIONS = ("mask", "timeline", "recon", "probe", "disagree")
HEAT = "lps · disagreement"


@pytest.fixture
def viewer(make_napari_viewer, make_scan):
    viewer = make_napari_viewer(show=True)
    image, labels = make_scan("lps", "LPS", (1.0, 1.0, 1.0), (24, 24, 20))
    data, attributes, _ = image_layer_data(image)
    viewer.add_image(data, **attributes)
    data, attributes, _ = labels_layer_data(labels)
    viewer.add_labels(data, **attributes)
    return viewer


@pytest.fixture
def dock(viewer, finished_run, temporary):
    dock = docked(viewer, InspectDock)
    dock.inputs.run_path.setText(str(finished_run.path))
    return dock


def answer(qtbot, section, press=None):
    """Press the section's button and wait for the answer."""
    with qtbot.waitSignal(section.bar.ended, timeout=200_000):
        (press or section.bar.ask_button.click)()


def test_importing_the_dock_imports_no_torch():
    code = (
        "import sys, napari_medcontext.widgets.inspect;"
        "sys.exit(bool({'torch', 'monai'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_controls_have_names_and_tooltips(dock):
    for name in SECTIONS:
        section = dock.unfold(name)
        kinds = (QPushButton, QSpinBox, QComboBox)
        for control in (child for kind in kinds for child in section.findChildren(kind)):
            if control.parent().objectName() == "setting_ratio_range":
                continue
            assert control.objectName(), (name, control)
            assert control.toolTip(), (name, control.objectName())


def test_reconstruction_comes_in_the_panels_and_by_organ(viewer, dock, qtbot):
    section = dock.unfold("recon")
    answer(qtbot, section)
    layers = dock.panels.panels.model.layers
    qtbot.waitUntil(lambda: len(layers) > 1 and np.any(layers[1].data), timeout=60_000)
    reference = viewer.layers["lps labels"]
    shown = np.asarray(dock.panels.panels.model.layers[1].data)
    assert set(np.unique(shown)) == set(np.unique(reference.data)) == {0, 2, 5}
    texts = section.table.texts()
    assert [line[0] for line in texts] == ["liver", "spleen"]
    assert "% of the scan hidden" in section.bar.message.text()
    assert section.findChild(QProgressBar).isHidden()


def test_organ_is_hidden_entirely_and_each_change_is_answered_anew(dock, qtbot):
    section = dock.unfold("recon")
    answer(qtbot, section)
    spleen = section.organ_box.findText("spleen")
    answer(qtbot, section, lambda: section.organ_box.setCurrentIndex(spleen))
    by_name = {line[0]: line[1] for line in section.table.texts()}
    assert by_name["spleen"] == "100.0"
    assert not section.form.isEnabled()
    first = session_of(dock._viewer).inspection
    answer(qtbot, section, section.draw_button.click)
    assert session_of(dock._viewer).inspection is first


def test_box_that_was_drawn_is_hidden(viewer, dock, qtbot):
    section = dock.unfold("recon")
    section.organ_box.setCurrentIndex(1)
    answer(qtbot, section)
    assert "No box is drawn" in section.bar.message.text()
    scan = viewer.layers["lps"]
    corners = np.array([[10, 4, 4], [10, 4, 12], [10, 12, 12], [10, 12, 4]])
    world = np.array([scan.data_to_world(corner) for corner in corners])
    viewer.add_shapes([world], shape_type="polygon", ndim=3)
    answer(qtbot, section)
    share = float(section.bar.message.text().split(" %")[0])
    assert share == pytest.approx(100 * 8**3 / (24 * 24 * 20), rel=0.5)


def test_probe_fills_table_bars_and_csv(dock, qtbot, tmp_path):
    section = dock.unfold("probe")
    section.draws_box.setValue(1)
    answer(qtbot, section)
    assert [line[0] for line in section.table.texts()] == ["liver", "spleen"]
    for line in section.table.texts():
        assert 0 <= float(line[1]) <= 1
    dock.resize(260, dock.height())
    qtbot.waitUntil(lambda: section.table.horizontalScrollBar().isVisible())
    assert section.table.viewport().height() >= 2 * ROW_HEIGHT
    qtbot.waitUntil(lambda: section.bars.y() > section.table.geometry().bottom())
    assert len(section.bars.plot.getPlotItem().items) >= 3
    section.save(tmp_path / "probe.csv")
    with (tmp_path / "probe.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == len(section.rows)
    section.save(tmp_path / "probe.csv" / "below a file.csv")
    assert "cannot be written" in section.bar.message.text()


def test_probe_without_labels_says_what_is_missing(viewer, dock, qtbot):
    viewer.layers.remove("lps labels")
    section = dock.unfold("probe")
    answer(qtbot, section)
    assert section.bar.message.text().startswith("⚠")
    assert "labels" in section.bar.message.text()


def test_organ_rows_take_each_condition_to_its_column():
    def line(place, condition, dsc, ratio=float("nan"), draws=2):
        return ProbeRow("scan", 2, "liver", place, condition, dsc, 0.0, ratio, draws)

    (row,) = organ_rows(
        [
            line("nowhere", "visible", 0.8, draws=0),
            line("organ", "token", 0.4, 0.5),
            line("organ", "mean", 0.2, 0.25),
            line("elsewhere", "token", 0.7),
            line("elsewhere", "mean", 0.75),
            line("organ", "average shape", 0.3),
        ]
    )
    assert row.values == (0.8, 0.4, 0.2, None, 50.0, 0.75, 0.3)


def test_disagreement_is_a_heat_map_with_a_way_to_the_worst_slices(viewer, dock, qtbot):
    section = dock.unfold("disagree")
    section.draws_box.setValue(1)
    names = [layer.name for layer in viewer.layers]
    answer(qtbot, section)
    layer = viewer.layers[HEAT]
    assert [layer.name for layer in viewer.layers] == [*names, HEAT]
    assert is_made(layer)
    assert 0 <= layer.data.min() <= layer.data.max() <= 1
    assert tuple(layer.contrast_limits) == (0, 1)
    assert layer.colorbar.visible
    found = section._found
    for place in (0, 1):
        qtbot.mouseClick(section.next_button, Qt.MouseButton.LeftButton)
        at = round(layer.world_to_data(viewer.dims.point)[0])
        sums = layer.data.mean(axis=(1, 2))
        assert sums[at] == pytest.approx(float(found.by_slice[found.worst[place]]), abs=1e-5)
    assert viewer.layers.selection.active is viewer.layers["lps labels"]
    answer(qtbot, section)
    assert [layer.name for layer in viewer.layers] == [*names, HEAT]


def test_click_in_the_curve_goes_to_that_slice(viewer, dock, qtbot):
    section = dock.unfold("disagree")
    section.axis_box.setCurrentIndex(1)
    answer(qtbot, section)

    class Click:
        def scenePos(self):
            view = section.curve.getPlotItem().vb
            return view.mapViewToScene(QPointF(8.2, 0.0))

    section.curve._clicked(Click())
    layer = viewer.layers[HEAT]
    at = layer.world_to_data(viewer.dims.point)[1]
    # Shown from anterior to posterior, counted from posterior.
    assert layer.data.shape[1] - 1 - round(at) == 7
    assert viewer.dims.not_displayed == (1,)
    assert section.curve._here.value() == 8
    viewer.dims.set_point(1, layer.data_to_world((0, layer.data.shape[1] - 1 - 3, 0))[1])
    assert section.curve._here.value() == 4


def test_corrected_labels_are_trained_on_from_the_runs_student(viewer, dock, qtbot, finished_run):
    section = dock.unfold("disagree")
    labels = viewer.layers["lps labels"]
    before = np.count_nonzero(labels.data)
    labels.data[labels.data == 0] = np.where(np.arange(np.sum(labels.data == 0)) < 7, 5, 0)
    section.train_button.click()
    train = open_dock(viewer, "Train")
    start = finished_run.weight_file("student")
    afresh = finished_run.spec().config
    # The form leaves threads to torch.
    shown = train.config().updated({"device": afresh.device.model_dump()})
    assert shown == afresh.updated({"network": {"pretrained": start}})
    with qtbot.waitSignal(train.finished, timeout=200_000):
        train.train_button.click()
    run = RunFolder(train.run_path.text())
    assert run.path != finished_run.path
    assert run.last_step() == afresh.training.steps, train.message.text()
    (case,) = run.spec().with_role("training")
    assert np.count_nonzero(read_volume(case.labels).array) == before + 7
    assert "(100% of the network)" in (run.path / "events.jsonl").read_text()
    assert load_preferences()["train"]["network"]["pretrained"] is None


def test_cancel_gives_up_and_the_next_question_is_answered(dock, qtbot):
    section = dock.unfold("recon")
    answer(qtbot, section)
    section.draw_button.click()
    answer(qtbot, section, section.bar.cancel_button.click)
    answer(qtbot, section)
    assert "% of the scan hidden" in section.bar.message.text()


def test_window_that_closes_ends_the_work_and_leaves_no_folder(viewer, dock, qtbot, temporary):
    dock.unfold("recon").bar.ask_button.click()
    inspection = session_of(viewer).inspection
    viewer.close()
    assert not inspection.is_running
    qtbot.waitUntil(lambda: not any(temporary.iterdir()), timeout=120_000)


def test_dock_that_is_removed_ends_the_work(viewer, dock, qtbot, temporary):
    dock.unfold("recon").bar.ask_button.click()
    viewer.window.remove_dock_widget(dock)
    dock.deleteLater()
    qtbot.waitUntil(lambda: session_of(viewer).inspection is None, timeout=20_000)
    viewer.layers.clear()
    qtbot.waitUntil(lambda: not any(temporary.iterdir()), timeout=120_000)


def test_run_folder_that_vanishes_is_told(dock, qtbot, finished_run):
    section = dock.unfold("recon")
    shutil.rmtree(finished_run.path)
    answer(qtbot, section)
    assert section.bar.message.text().startswith("⚠")


def test_scan_that_is_removed_meanwhile_is_told(viewer, dock, qtbot):
    section = dock.unfold("disagree")
    section.bar.ask_button.click()
    viewer.layers.clear()
    answer(qtbot, section, lambda: None)
    assert "The scan was removed" in section.bar.message.text()
    section.next_button.click()
    answer(qtbot, section)
    assert "No scan is chosen" in section.bar.message.text()


def test_labels_that_were_painted_on_are_asked_about_anew(viewer, dock, qtbot):
    section = dock.unfold("recon")
    answer(qtbot, section)
    first = session_of(viewer).inspection
    labels = viewer.layers["lps labels"]
    labels.data[0, 0, 0] = 5
    answer(qtbot, section)
    assert session_of(viewer).inspection is not first


def test_answers_after_the_dock_was_rebuilt_are_harmless(viewer, dock, qtbot):
    section = dock.unfold("probe")
    section._show(ProbeFinished(1, "lps", (), 0.1))
    assert section.table.isHidden()
