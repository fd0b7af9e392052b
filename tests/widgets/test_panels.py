import numpy as np
import pytest
from napari.components import ViewerModel

from napari_medcontext.widgets import panels as module
from napari_medcontext.widgets.panel_grid import PanelGrid
from napari_medcontext.widgets.panel_layers import Panel
from napari_medcontext.widgets.panels import PanelViewer

TITLES = ("one", "two", "three", "four")
SHAPE = (9, 8, 7)


def make_contents(seed=0, shape=SHAPE, affine=None, image=None):
    rng = np.random.default_rng(seed)
    affine = np.diag([1.0, 2.0, 3.0, 1.0]) if affine is None else affine
    return tuple(
        Panel(
            title,
            rng.random(shape, np.float32) if image is None else image,
            rng.integers(0, 3, shape).astype(np.uint8),
            affine,
            {1: "liver", 2: "spleen"},
        )
        for title in TITLES
    )


@pytest.fixture
def show(qtbot):
    def _show(panels, contents):
        with qtbot.waitSignal(panels.shown, timeout=120_000):
            panels.show_panels(contents)

    return _show


@pytest.fixture
def panels(qtbot, make_napari_viewer):
    """Panels in a dock of a real window, which also cleans them up."""
    viewer = make_napari_viewer(show=True)
    widget = PanelViewer(TITLES)
    widget.follow(viewer)
    viewer.window.add_dock_widget(widget, name="panels")
    widget.leader = viewer
    return widget


def pixels(panels):
    """Return image and labels of each panel in patient order (x, y, z), as RAS."""
    arrays = [np.asarray(layer.data).T[::-1, ::-1, ::-1] for layer in panels.model.layers]
    return list(zip(arrays[::2], arrays[1::2], strict=True))


def test_each_panel_shows_its_own_image_and_labels(panels, show):
    for seed in (0, 1):
        contents = make_contents(seed)
        show(panels, contents)
        for panel, (image, labels) in zip(contents, pixels(panels), strict=True):
            np.testing.assert_array_equal(image, panel.image)
            np.testing.assert_array_equal(labels, panel.labels)


def test_panels_stand_row_by_row_under_their_titles(panels, show):
    show(panels, make_contents())
    model = panels.model
    boxes = dict(model.canvas.grid.iter_viewboxes(model.layers))
    assert boxes == {(0, 0): (0, 1), (0, 1): (2, 3), (1, 0): (4, 5), (1, 1): (6, 7)}
    images = model.layers[::2]
    assert [image.name for image in images] == list(TITLES)
    assert all(image.name_overlay.visible for image in images)


def test_grid_survives_napari_preferences(panels, show):
    from napari.settings import get_settings

    show(panels, make_contents())
    get_settings().application.grid_stride = 1
    get_settings().application.grid_width = 5
    assert panels.model.canvas.grid.stride == 2
    assert panels.model.canvas.grid.shape == (2, 2)


def test_forty_updates_add_no_layers_and_keep_what_the_user_set(panels, show):
    show(panels, make_contents())
    model = panels.model
    layers = list(model.layers)
    model.scene.camera.center, model.scene.camera.zoom = (0.0, 3.0, 2.0), 7.5
    model.dims.set_point(0, -6.0)
    layers[0].contrast_limits = (0.25, 0.5)
    point = model.dims.point
    for seed in range(1, 41):
        show(panels, make_contents(seed))
    assert list(model.layers) == layers
    assert model.scene.camera.center == (0.0, 3.0, 2.0)
    assert model.scene.camera.zoom == 7.5
    assert model.dims.point == point
    assert list(layers[0].contrast_limits) == [0.25, 0.5]
    np.testing.assert_array_equal(pixels(panels)[3][1], make_contents(40)[3].labels)


def test_contents_on_the_same_grid_are_drawn_once(panels, show, qtbot):
    show(panels, make_contents())
    qtbot.wait(300)
    drawn = []
    canvas = panels.canvas().canvas._scene_canvas
    canvas.events.draw.connect(lambda event: drawn.append(event))
    show(panels, make_contents(1))
    qtbot.waitUntil(lambda: bool(drawn), timeout=5000)
    qtbot.wait(300)
    assert len(drawn) == 1


def test_contrast_is_the_same_in_all_panels_and_stays_so(panels, show):
    show(panels, make_contents())
    images = panels.model.layers[::2]
    assert len({tuple(image.contrast_limits) for image in images}) == 1
    images[2].contrast_limits = (0.1, 0.4)
    assert {tuple(image.contrast_limits) for image in images} == {(0.1, 0.4)}


def test_contrast_starts_at_the_bulk_of_the_image_and_is_kept_by_the_next_contents(panels, show):
    image = np.linspace(0, 1, 504, dtype=np.float32).reshape(SHAPE)
    image[0, 0, 0] = 50.0
    show(panels, make_contents(image=image))
    low, high = panels.contrast.limits
    assert low == pytest.approx(np.percentile(image, 1))
    assert high == pytest.approx(np.percentile(image, 99))
    assert panels.contrast.range[1] == 50.0
    panels.contrast.set_limits((0.25, 0.5))
    show(panels, make_contents(1))
    assert panels.contrast.limits == (0.25, 0.5)
    assert {tuple(layer.contrast_limits) for layer in panels.model.layers[::2]} == {(0.25, 0.5)}


@pytest.fixture
def grid_of_four():
    """A viewer of four panels, whose canvas is resized as Qt resizes a real one."""
    model = ViewerModel()
    grid = PanelGrid(model, panels=4)
    for _ in range(4):
        model.add_image(np.zeros((7, 80, 90)))
        model.add_labels(np.zeros((7, 80, 90), np.uint8))
    model.canvas.size = (500, 700)
    model.reset_view()
    yield model
    del grid


def test_panels_stand_in_one_row_where_the_canvas_is_much_wider_than_high(grid_of_four):
    model = grid_of_four
    for size, shape in [((500, 1240), (2, 2)), ((500, 1260), (1, 4)), ((600, 900), (2, 2))]:
        model.canvas.size = size
        assert model.canvas.grid.shape == shape


def test_camera_is_left_alone_while_the_arrangement_stays(grid_of_four):
    model = grid_of_four
    zoom, centre = model.scene.camera.zoom, model.scene.camera.center
    model.canvas.size = (400, 600)
    assert (model.scene.camera.zoom, model.scene.camera.center) == (zoom, centre)


def test_what_fills_a_panel_still_does_after_they_were_rearranged(grid_of_four):
    model = grid_of_four
    camera, centre = model.scene.camera, model.scene.camera.center
    for size in [(300, 1400), (500, 700)]:
        model.canvas.size = size
        zoom = camera.zoom
        model.fit_to_view()
        assert zoom == pytest.approx(camera.zoom, rel=0.03)
        assert camera.center == pytest.approx(centre)


@pytest.mark.parametrize("change", ["shape", "place"])
def test_another_grid_renews_the_same_layers_and_is_brought_into_view(panels, show, change):
    show(panels, make_contents())
    before = list(panels.model.layers)
    other = np.diag([1.0, 2.0, 3.0, 1.0])
    other[:3, 3] = (0.0, 0.0, 300.0) if change == "place" else 0.0
    contents = make_contents(1, (5, 6, 12) if change == "shape" else SHAPE, other)
    show(panels, contents)
    model = panels.model
    assert len(model.layers) == 8
    assert list(model.layers) == before
    np.testing.assert_array_equal(pixels(panels)[1][0], contents[1].image)
    low, high = model.layers.extent.world
    assert low[0] <= model.dims.point[0] <= high[0]
    assert np.all(low[1:] <= model.scene.camera.center[1:])
    assert np.all(model.scene.camera.center[1:] <= high[1:])


def test_slice_with_most_labels_is_shown_first(panels, show):
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:6, 2:6, 5] = 1
    image = np.random.default_rng(0).random(SHAPE, np.float32)
    show(panels, [Panel(title, image, labels, np.eye(4)) for title in TITLES])
    assert panels.model.dims.point[0] == pytest.approx(-5.0)


def test_only_the_newest_contents_are_shown_once_a_hidden_panel_is_seen(panels, qtbot):
    panels.hide()
    for seed in (1, 2):
        panels.show_panels(make_contents(seed))
    qtbot.wait(50)
    assert not panels.model.layers
    with qtbot.waitSignal(panels.shown, timeout=120_000):
        panels.show()
    np.testing.assert_array_equal(pixels(panels)[0][0], make_contents(2)[0].image)


def test_updates_in_3d_are_throttled_and_the_last_one_is_not_lost(panels, show, qtbot, monkeypatch):
    monkeypatch.setattr(module, "SECONDS_BETWEEN_3D", 1.0)
    show(panels, make_contents())
    panels.show_3d(True)
    show(panels, make_contents(1))
    times = []
    panels.shown.connect(lambda: times.append(1))
    for seed in range(2, 8):
        panels.show_panels(make_contents(seed))
        qtbot.wait(20)
    assert not times
    qtbot.waitUntil(lambda: bool(times), timeout=120_000)
    np.testing.assert_array_equal(pixels(panels)[2][1], make_contents(7)[2].labels)


def test_linked_slices_move_together_and_unlinked_ones_do_not(panels, show):
    viewer = panels.leader
    viewer.add_image(np.zeros((40, 8, 9)), translate=(-30.0, -14.0, -8.0))
    show(panels, make_contents())
    point = panels.model.dims.point
    viewer.dims.set_point(0, -12.0)
    assert panels.model.dims.point == point
    panels.link_slices(True)
    assert panels.model.dims.point[0] == pytest.approx(-12.0)
    panels.model.dims.set_point(0, -9.0)
    assert viewer.dims.point[0] == pytest.approx(-9.0)
    viewer.dims.set_point(0, -29.0)
    assert viewer.dims.point[0] == pytest.approx(-29.0)
    panels.link_slices(False)
    viewer.dims.set_point(0, -3.0)
    assert panels.model.dims.point[0] == pytest.approx(-18.0)


def test_rebuilding_linked_panels_does_not_move_the_users_slice(panels, show):
    viewer = panels.leader
    viewer.add_image(np.zeros((40, 8, 9)), translate=(-30.0, -14.0, -8.0))
    show(panels, make_contents())
    panels.link_slices(True)
    viewer.dims.set_point(0, -12.0)
    moves = []
    viewer.dims.events.point.connect(lambda event: moves.append(event.value))
    show(panels, make_contents(1, (5, 6, 12)))
    assert not moves
    assert panels.model.dims.point[0] == pytest.approx(-12.0)


def test_theme_follows_the_viewer(panels):
    assert panels.model.theme == panels.leader.theme == "dark"
    panels.leader.theme = "light"
    assert panels.model.theme == "light"


def test_labels_opacity_holds_for_all_panels_and_after_a_rebuild(panels, show):
    show(panels, make_contents())
    panels.set_labels_opacity(0.2)
    assert {layer.opacity for layer in panels.model.layers[1::2]} == {0.2}
    show(panels, make_contents(1, (4, 5, 6)))
    assert {layer.opacity for layer in panels.model.layers[1::2]} == {0.2}


def test_first_view_in_3d_has_the_head_up_and_the_patients_left_on_the_right(panels, show):
    show(panels, make_contents())
    panels.show_3d(True)
    camera = panels.model.scene.camera
    up, forward = np.array(camera.up_direction), np.array(camera.view_direction)
    assert up @ (-1, 0, 0) > 0.9
    assert forward @ (0, 1, 0) > 0.8
    camera.angles = (5.0, 10.0, 15.0)
    panels.show_3d(False)
    panels.show_3d(True)
    assert camera.angles == pytest.approx((5.0, 10.0, 15.0))


def test_slice_and_zoom_of_2d_return_after_3d(panels, show):
    show(panels, make_contents())
    model = panels.model
    model.dims.set_point(0, -6.0)
    model.scene.camera.zoom = 7.5
    panels.show_3d(True)
    model.scene.camera.center, model.scene.camera.zoom = (-12.0, 3.0, 2.0), 2.0
    panels.show_3d(False)
    assert model.dims.point[0] == -6.0
    assert model.scene.camera.zoom == 7.5


def test_closing_the_window_while_the_slider_plays_leaves_nothing_running(
    make_napari_viewer, qtbot, show
):
    viewer = make_napari_viewer(show=True)
    widget = PanelViewer(TITLES)
    viewer.window.add_dock_widget(widget)
    show(widget, make_contents())
    dims = widget.findChild(module.QtViewer).dims
    dims.play(0)
    qtbot.waitUntil(lambda: dims.is_playing, timeout=5000)
    viewer.close()
    assert not dims.is_playing


def test_no_canvas_is_made_before_there_is_something_to_show(qtbot):
    widget = PanelViewer(TITLES)
    qtbot.addWidget(widget)
    assert not widget.findChildren(module.QtViewer)
    assert isinstance(widget.model, ViewerModel)
