"""A run's kept previews are looked through and played in the Inspect dock."""

import shutil

import numpy as np
import pytest
from dock_helpers import docked
from qtpy.QtCore import Qt

from napari_medcontext.core.events import PreviewReady
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.timeline import Timeline
from napari_medcontext.widgets import timeline as timeline_module
from napari_medcontext.widgets.inspect import InspectDock
from napari_medcontext.widgets.session import session_of

SHAPE = (10, 9, 8)
STEPS = (5, 10, 15)


def preview(step):
    rng = np.random.default_rng(step)
    image = np.random.default_rng(0).random(SHAPE, np.float32)
    labels = [rng.integers(0, 3, SHAPE).astype(np.uint8) for _ in range(3)]
    masked = np.where(np.arange(10)[:, None, None] < 4, np.float32(0), image)
    return PreviewReady(step, "scan", np.diag([-1, -1, 1, 1.0]), image, masked, *labels, labels[0])


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=True)


@pytest.fixture
def run(tmp_path):
    timeline = Timeline(tmp_path / "run", 9)
    for step in STEPS:
        timeline.keep(preview(step), {1: "liver", 2: "spleen"})
    return RunFolder(tmp_path / "run")


@pytest.fixture
def dock(viewer, run):
    dock = docked(viewer, InspectDock)
    dock.inputs.run_path.setText(str(run.path))
    return dock


@pytest.fixture
def view(dock):
    return dock.unfold("timeline")


def shown_student(dock):
    return np.asarray(dock.panels.panels.model.layers[5].data)


def test_slider_shows_each_kept_step_in_the_panels(dock, view, qtbot):
    assert dock.panels.isHidden()
    assert (view.slider.minimum(), view.slider.maximum()) == (0, 2)
    for place in (1, 2, 0):
        with qtbot.waitSignal(dock.panels.panels.shown, timeout=120_000):
            view.slider.setValue(place)
        # From LPS to the display's axes, inferior, posterior and left.
        expected = preview(STEPS[place]).student[:, :, ::-1].T
        np.testing.assert_array_equal(shown_student(dock), expected)
        assert view.message.text() == f"Step {STEPS[place]} of 15"


def test_play_goes_through_all_steps_and_ends(dock, view, qtbot, monkeypatch):
    monkeypatch.setattr(timeline_module, "MILLISECONDS_A_STEP", 1)
    view._clock.setInterval(1)
    seen = []
    dock.panels.panels.shown.connect(lambda: seen.append(view.slider.value()))
    qtbot.mouseClick(view.play_button, Qt.MouseButton.LeftButton)
    assert view.play_button.text() == "Stop"
    qtbot.waitUntil(lambda: not view.is_playing, timeout=120_000)
    assert seen == [0, 1, 2]
    assert view.play_button.text() == "Play"


def test_image_is_drawn_once_for_all_steps(dock, view, qtbot):
    with qtbot.waitSignal(dock.panels.panels.shown, timeout=120_000):
        view.forth_button.click()
    replaced = []
    for layer in dock.panels.panels.model.layers[::2]:
        layer.events.data.connect(lambda event: replaced.append(event.source.name))
    with qtbot.waitSignal(dock.panels.panels.shown, timeout=120_000):
        view.forth_button.click()
    assert not replaced


def test_steps_that_come_while_it_trains_are_added(viewer, dock, view, run):
    view.slider.setValue(1)
    session_of(viewer).run = run
    Timeline(run.path, 9).keep(preview(20), {})
    session_of(viewer).event_received.emit(preview(20))
    assert view.slider.maximum() == 3
    assert view.slider.value() == 1


def test_folder_that_vanishes_is_told(dock, view, run, qtbot):
    shutil.rmtree(run.path)
    view.slider.setValue(2)
    qtbot.waitUntil(lambda: view.message.text().startswith("⚠"), timeout=60_000)
    assert "Choose the run again" in view.message.text()
    view.play_button.click()
    qtbot.wait(50)
    assert not view.is_playing or not view._steps


def test_run_without_previews_says_so(dock, view, tmp_path):
    dock.inputs.run_path.setText(str(tmp_path / "none"))
    assert "kept no previews yet" in view.message.text()
    assert not view.play_button.isEnabled()
    dock.inputs.run_path.setText("")
    assert "Choose a run" in view.message.text()


def test_folding_the_section_stops_the_play(dock, view):
    view.play_button.click()
    dock._folds["timeline"].collapse(animate=False)
    assert not view.is_playing


def test_shown_step_can_be_kept_as_layers(viewer, dock, view, qtbot):
    with qtbot.waitSignal(dock.panels.panels.shown, timeout=120_000):
        view.slider.setValue(2)
    dock.panels.keep_button.click()
    assert "preview step 15: student" in viewer.layers
