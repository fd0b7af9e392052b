import gc
import weakref

import numpy as np
import pytest
from napari.utils._proxies import PublicOnlyProxy
from qtpy.QtGui import QColor, QImage
from qtpy.QtWidgets import QApplication, QLineEdit

from napari_medcontext.core.colours import class_colour
from napari_medcontext.core.events import PreviewReady, RunFinished, RunStarted
from napari_medcontext.core.run import RunFolder
from napari_medcontext.widgets.preview import (
    NO_REFERENCE,
    NO_TEACHER,
    TITLES,
    PreviewDock,
    age_text,
)
from napari_medcontext.widgets.session import session_of

SHAPE = (9, 8, 7)
AFFINE = np.array(
    [[-1.0, 0, 0, 40], [0, 2.0, 0, -10], [0, 0, 3.0, 20], [0, 0, 0, 1]]
)  # LAS: x runs to the patient's left


def preview(seed=0, shape=SHAPE, step=320, **changes):
    rng = np.random.default_rng(seed)
    arrays = {name: rng.random(shape, np.float32) for name in ("image", "masked")}
    for name in ("student_masked", "student", "teacher", "reference"):
        arrays[name] = rng.integers(0, 3, shape).astype(np.uint8)
    return PreviewReady(step, "abdomen 6", AFFINE, **(arrays | changes))


def run_started(method="medcontext"):
    return RunStarted(
        0, 600, "cpu", "float32", 1, "unet", method, "z",
        {1: "liver", 2: "spleen"}, (1.0, 2.0, 3.0), False,
    )  # fmt: skip


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=True)


@pytest.fixture
def dock(viewer):
    dock = PreviewDock(PublicOnlyProxy(viewer))
    viewer.window.add_dock_widget(dock, name="Preview")
    return dock


@pytest.fixture
def send(viewer, dock, qtbot):
    """Send an event as a run does; wait until a preview is in the panels."""

    def _send(event):
        if not isinstance(event, PreviewReady):
            session_of(viewer).event_received.emit(event)
            return
        with qtbot.waitSignal(dock.panels.shown, timeout=120_000):
            session_of(viewer).event_received.emit(event)

    return _send


def in_display_order(array):
    """Return an LAS array with axes (inferior, posterior, left)."""
    return array[:, ::-1, ::-1].T


def test_each_panel_shows_what_the_event_held_and_no_array_twice(dock, send):
    for seed in (0, 1):
        event = preview(seed)
        send(event)
        expected = [
            event.image, event.reference,
            event.masked, event.student_masked,
            event.image, event.student,
            event.image, event.teacher,
        ]  # fmt: skip
        shown = [np.asarray(layer.data) for layer in dock.panels.model.layers]
        for got, wanted in zip(shown, expected, strict=True):
            np.testing.assert_array_equal(got, in_display_order(wanted))
        assert len({labels.tobytes() for labels in shown[1::2]}) == 4
        assert len({image.tobytes() for image in shown[::2]}) == 2
    assert tuple(image.name for image in dock.panels.model.layers[::2]) == TITLES


def test_user_layers_view_and_focus_are_untouched_by_updates(viewer, dock, send, qtbot):
    for number in range(10):
        viewer.add_image(np.random.default_rng(number).random((12, 11, 10)), name=str(number))
    viewer.layers.selection = {viewer.layers[3]}
    viewer.scene.camera.center, viewer.scene.camera.zoom = (0.0, 4.0, 5.0), 3.25
    viewer.dims.set_point(0, 7.0)
    box = QLineEdit()
    viewer.window.add_dock_widget(box)
    viewer.window._qt_window.activateWindow()
    box.setFocus()
    qtbot.waitUntil(box.hasFocus, timeout=5000)
    send(preview(0))
    fired = []
    for emitter in (viewer.layers.events, viewer.dims.events, viewer.scene.camera.events):
        emitter.connect(lambda event: fired.append(event.type))
    send(preview(1))
    assert not fired
    viewer.add_labels(np.zeros((12, 11, 10), np.uint8), name="added in between")
    viewer.layers.selection = {viewer.layers[3]}
    names, before = [layer.name for layer in viewer.layers], viewer.dims.point
    viewer.scene.camera.center, viewer.scene.camera.zoom = (0.0, 4.0, 5.0), 3.25
    fired.clear()
    for seed in range(2, 6):
        send(preview(seed))
    send(preview(6, (6, 5, 4)))
    assert not fired
    assert len(dock.panels.model.layers) == 8
    assert [layer.name for layer in viewer.layers] == names
    assert viewer.layers.selection == {viewer.layers[3]}
    assert viewer.dims.point == before
    assert viewer.scene.camera.center == (0.0, 4.0, 5.0)
    assert viewer.scene.camera.zoom == 3.25
    assert QApplication.focusWidget() is box


def test_image_that_did_not_change_is_not_drawn_again(dock, send):
    image = preview().image
    send(preview(0, image=image))
    replaced = []
    layers = dock.panels.model.layers
    for layer in layers:
        layer.events.data.connect(lambda event: replaced.append(event.source.name))
    send(preview(1, image=image.copy()))
    assert [layers[0].name, layers[4].name, layers[6].name] == [TITLES[0], *TITLES[2:]]
    assert not {TITLES[0], TITLES[2], TITLES[3]} & set(replaced)
    assert TITLES[1] in replaced


def test_contrast_slider_and_panels_agree_and_the_next_preview_keeps_them(dock, send):
    assert not dock.contrast_slider.isEnabled()
    send(preview(0))
    image = preview(0).image
    expected = np.percentile(image, (1, 99))
    assert dock.contrast_slider.value() == pytest.approx(expected)
    assert dock.contrast_slider.minimum() <= image.min()
    dock.contrast_slider.setValue((0.25, 0.5))
    send(preview(1))
    images = dock.panels.model.layers[::2]
    assert {tuple(image.contrast_limits) for image in images} == {(0.25, 0.5)}
    images[3].contrast_limits = (0.125, 0.75)
    assert dock.contrast_slider.value() == pytest.approx((0.125, 0.75))


def test_panels_without_teacher_or_reference_say_so(dock, send):
    send(run_started("supervised"))
    send(preview(teacher=None, reference=None))
    layers = dock.panels.model.layers
    assert layers[0].name == NO_REFERENCE
    assert layers[6].name == NO_TEACHER
    assert not np.any(layers[1].data)
    assert not np.any(layers[7].data)
    send(preview(1))
    assert layers[6].name == "teacher"
    assert np.any(layers[7].data)


def test_header_tells_step_scan_and_age(dock, send):
    assert "No preview" in dock.header.text()
    send(run_started())
    send(preview())
    assert dock.header.text().startswith("step 320 of 600 · abdomen 6 · ")
    assert [age_text(seconds) for seconds in (0.2, 12, 90, 7300)] == [
        "just now",
        "12 s ago",
        "2 min ago",
        "2 h ago",
    ]


def test_keep_as_layers_puts_everything_at_its_place_in_the_world(viewer, dock, send):
    student = np.zeros(SHAPE, np.uint8)
    student[2, 5, 1] = 2
    send(run_started())
    send(preview(student=student))
    dock.keep_button.click()
    assert [layer.name.removeprefix("preview step 320: ") for layer in viewer.layers] == [
        "image",
        "masked input",
        "reference",
        "teacher",
        "student, masked",
        "student",
    ]
    layer = viewer.layers["preview step 320: student"]
    (index,) = np.argwhere(np.asarray(layer.data) == 2)
    right, anterior, superior = (AFFINE @ (2, 5, 1, 1))[:3]
    assert layer.data_to_world(index) == pytest.approx((-superior, -anterior, -right))


def test_keep_as_layers_leaves_out_what_there_is_not(viewer, dock, send):
    send(preview(teacher=None, reference=None))
    dock.keep_button.click()
    assert not [layer for layer in viewer.layers if layer.name.endswith(("teacher", "reference"))]
    assert len(viewer.layers) == 4


def test_kept_layers_share_no_memory_with_the_preview(viewer, dock, send):
    event = preview()
    send(event)
    dock.keep_button.click()
    arrays = (event.image, event.masked, event.reference, event.student, event.teacher)
    shown = [layer.data for layer in dock.panels.model.layers]
    for layer in viewer.layers:
        assert not any(np.shares_memory(layer.data, array) for array in (*arrays, *shown))


def test_answers_of_the_last_run_leave_the_panels_when_another_begins(
    viewer, dock, send, qtbot, tmp_path
):
    send(run_started())
    send(preview())
    with qtbot.waitSignal(dock.panels.shown, timeout=120_000):
        session_of(viewer).run_changed.emit(RunFolder(tmp_path / "next"))
    assert "No preview" in dock.header.text()
    assert not dock.keep_button.isEnabled()
    assert not any(np.any(layer.data) for layer in dock.panels.model.layers[1::2])
    qtbot.wait(1200)
    assert "No preview" in dock.header.text()
    send(preview(1))
    assert dock.header.text().startswith("step 320 · ")
    assert all(np.any(layer.data) for layer in dock.panels.model.layers[1::2])
    session_of(viewer).run_changed.emit(None)
    assert "It makes no previews" in dock.header.text()


def test_picture_has_the_panels_with_legend_and_caption(dock, send, tmp_path):
    send(run_started())
    send(preview())
    zoom = dock.panels.model.scene.camera.zoom
    dock.controls.save_picture(tmp_path / "panels.png")
    picture = QImage(str(tmp_path / "panels.png"))
    canvas = dock.panels.canvas().canvas.native
    assert picture.width() > 1.5 * canvas.width()
    assert dock.panels.model.scene.camera.zoom == zoom
    legend = {
        picture.pixelColor(x, y).name()
        for x in range(0, picture.width(), 3)
        for y in range(picture.height() - 110, picture.height(), 3)
    }
    colours = {QColor.fromRgbF(*(float(part) for part in class_colour(k))).name() for k in (1, 2)}
    assert colours | {"#ffffff"} <= legend


def test_picture_of_nothing_is_refused(dock, monkeypatch, tmp_path):
    shown: list[str] = []
    monkeypatch.setattr("napari_medcontext.widgets.panel_controls.show_error", shown.append)
    dock.controls.save_picture(tmp_path / "panels.png")
    assert "nothing to take a picture of" in shown[0]
    assert not list(tmp_path.iterdir())


def test_nothing_can_be_kept_before_the_first_preview(viewer, dock):
    assert not dock.keep_button.isEnabled()
    dock.keep_as_layers()
    assert not viewer.layers


def test_buttons_and_napari_key_agree_on_2d_and_3d(dock, send):
    send(preview())
    dock.volumes_button.click()
    assert dock.panels.model.dims.ndisplay == 3
    dock.panels.model.dims.ndisplay = 2
    assert dock.slices_button.isChecked()
    assert not dock.volumes_button.isChecked()


def test_closed_dock_goes_on_and_shows_the_newest_when_opened_again(viewer, dock, send, qtbot):
    send(preview(0))
    container = dock.parentWidget()
    container.hide()
    session_of(viewer).event_received.emit(preview(1))
    session_of(viewer).event_received.emit(preview(2, step=330))
    with qtbot.waitSignal(dock.panels.shown, timeout=120_000):
        container.show()
    shown = np.asarray(dock.panels.model.layers[5].data)
    np.testing.assert_array_equal(shown, in_display_order(preview(2).student))


def test_events_after_the_viewer_closed_are_ignored(viewer, dock, send):
    send(preview())
    session = session_of(viewer)
    session.event_received.emit(preview(1))
    viewer.close()
    QApplication.processEvents()
    session.event_received.emit(run_started())
    session.event_received.emit(preview(2))
    session.event_received.emit(RunFinished("completed", 600))
    QApplication.processEvents()


def test_removed_dock_lets_go_of_the_viewer(viewer, qtbot):
    dock = PreviewDock(viewer)
    container = viewer.window.add_dock_widget(dock)
    session_of(viewer).event_received.emit(preview())
    dock.link_box.setChecked(True)
    viewer.window.remove_dock_widget(container)
    dock.deleteLater()
    qtbot.wait(50)
    viewer.add_image(np.zeros((5, 5, 5)))
    viewer.dims.set_point(0, 2)
    viewer.theme = "light"
    session_of(viewer).event_received.emit(preview(1))


def test_session_is_one_for_each_viewer_and_its_proxy(make_napari_viewer):
    first, second = make_napari_viewer(), make_napari_viewer()
    assert session_of(first) is session_of(first) is session_of(PublicOnlyProxy(first))
    assert session_of(first) is not session_of(second)


def test_session_does_not_outlive_its_viewer():
    from napari.components import ViewerModel

    viewer = ViewerModel()
    session = weakref.ref(session_of(viewer))
    del viewer
    gc.collect()
    assert session() is None
