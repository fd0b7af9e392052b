"""What is saved overlays its scan in other programs, voxel on voxel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.utils.notifications import Notification, notification_manager
from npe2 import PluginManager

from napari_medcontext.core.errors import MedContextError
from napari_medcontext.layer_volumes import layer_to_volume
from napari_medcontext.writer import save_labels, write_layer

SHAPE = (7, 9, 11)
PLUGIN = "napari-medcontext"


@pytest.fixture(autouse=True)
def _plugins() -> None:
    PluginManager.instance().discover()


@pytest.fixture
def warnings_shown() -> Iterator[list[str]]:
    """Collect what napari tells the user."""
    shown: list[str] = []

    def collect(notification: Notification) -> None:
        shown.append(notification.message)

    notification_manager.notification_ready.connect(collect)
    yield shown
    notification_manager.notification_ready.disconnect(collect)


def tilted(degrees: float) -> np.ndarray:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])


AXES = {
    "diagonal RAS": np.diag([0.8, 0.9, 1.2]),
    "flipped LPS": np.diag([-0.8, -0.9, 1.2]),
    "LAS": np.diag([-0.8, 0.9, 1.2]),
    "permuted": np.array([[0, 0, 2.0], [0.8, 0, 0], [0, -3.0, 0]]),
    "oblique": tilted(22) @ np.diag([-0.8, -0.9, 1.5]),
    "thick slices": np.diag([-0.7, -0.7, 5.0]),
}
every_orientation = pytest.mark.parametrize("axes", AXES.values(), ids=AXES)


def scan_file(folder: Path, axes: np.ndarray = AXES["flipped LPS"]) -> Path:
    affine = nib.affines.from_matvec(axes, (12.5, -33.0, 41.25))
    array = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    nib.save(nib.Nifti1Image(array, affine), folder / "scan 1.nii.gz")
    return folder / "scan 1.nii.gz"


def scan_layer(viewer: ViewerModel, path: Path) -> Image:
    (layer,) = viewer.open(str(path), plugin=PLUGIN)
    return layer


def voxel_in_itk(path: Path, index: tuple[int, int, int]) -> np.ndarray:
    return np.array(SimpleITK.ReadImage(str(path)).TransformIndexToPhysicalPoint(index))


def painted_voxel_in_itk(path: Path) -> tuple[tuple[int, ...], np.ndarray]:
    """Return index and LPS millimetres of the one labelled voxel, as SimpleITK sees it."""
    array = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    (found,) = np.argwhere(array)
    index = tuple(int(i) for i in found[::-1])
    return index, voxel_in_itk(path, index)


def assert_same_grid(saved: Path, source: Path) -> None:
    first, second = nib.load(saved), nib.load(source)
    assert first.shape == second.shape
    np.testing.assert_array_equal(first.affine, second.affine)


@every_orientation
def test_painted_voxel_is_saved_at_the_same_world_coordinates_for_other_programs(
    axes, tmp_path, warnings_shown
):
    source = scan_file(tmp_path, axes)
    viewer = ViewerModel()
    layer = scan_layer(viewer, source)
    index = (1, 2, 8)
    value = nib.load(source).get_fdata()[index]
    (shown,) = np.argwhere(np.isclose(layer.data, value, rtol=0, atol=1e-7))
    viewer.layers.selection.active = layer
    viewer._new_labels()
    drawn = viewer.layers[-1]
    drawn.data_setitem(tuple(np.atleast_1d(i) for i in shown), 3)
    saved = save_labels(tmp_path / "drawn.nii.gz", drawn, viewer.layers)
    found, world = painted_voxel_in_itk(saved)
    assert found == index
    np.testing.assert_allclose(world, voxel_in_itk(source, index), atol=1e-4)
    assert_same_grid(saved, source)
    assert nib.load(saved).get_data_dtype() == np.uint8
    assert warnings_shown == []


@every_orientation
def test_saved_scan_equals_the_one_opened(axes, tmp_path):
    source = scan_file(tmp_path, axes)
    layer = scan_layer(ViewerModel(), source)
    write_layer(str(tmp_path / "again.nii"), *layer.as_layer_data_tuple()[:2])
    assert_same_grid(tmp_path / "again.nii", source)
    np.testing.assert_array_equal(
        nib.load(tmp_path / "again.nii").get_fdata(), nib.load(source).get_fdata()
    )


@pytest.mark.parametrize("axes", [AXES["permuted"], AXES["oblique"]], ids=["permuted", "oblique"])
def test_new_labels_in_the_window_are_saved_on_their_scan(make_napari_viewer, tmp_path, axes):
    viewer = make_napari_viewer()
    source = scan_file(tmp_path, axes)
    layer = scan_layer(viewer, source)
    viewer.layers.selection.active = layer
    viewer._new_labels()
    drawn = viewer.layers[-1]
    shown = (3, 1, 2)
    drawn.brush_size = 1
    drawn.paint(shown, 5)
    assert drawn.save(str(tmp_path / "drawn.nii.gz"), plugin=PLUGIN)
    _, world = painted_voxel_in_itk(tmp_path / "drawn.nii.gz")
    true = nib.affines.apply_affine(layer_to_volume(layer).affine, shown)
    np.testing.assert_allclose(world, true * (-1, -1, 1), atol=1e-4)
    assert_same_grid(tmp_path / "drawn.nii.gz", source)


def test_moved_labels_are_saved_where_they_were_moved_to(tmp_path):
    source = scan_file(tmp_path, AXES["diagonal RAS"])
    viewer = ViewerModel()
    layer = scan_layer(viewer, source)
    layer.translate = np.add(layer.translate, (0, 0, 4))
    write_layer(str(tmp_path / "moved.nii"), *layer.as_layer_data_tuple()[:2])
    shift = voxel_in_itk(tmp_path / "moved.nii", (0, 0, 0)) - voxel_in_itk(source, (0, 0, 0))
    np.testing.assert_allclose(shift, (4, 0, 0), atol=1e-4)


def test_labels_without_a_scan_are_saved_as_shown_with_a_warning(tmp_path, warnings_shown):
    layer = Labels(np.eye(4, dtype=int)[None].repeat(3, 0), name="mine", scale=(3, 2, 1))
    save_labels(tmp_path / "mine.nii", layer)
    assert len(warnings_shown) == 1
    assert "“mine”" in warnings_shown[0]
    saved = nib.load(tmp_path / "mine.nii")
    assert saved.shape == (4, 4, 3)
    assert nib.aff2axcodes(saved.affine) == ("R", "A", "S")
    np.testing.assert_allclose(saved.header.get_zooms(), (1, 2, 3))


def test_class_names_travel_with_the_saved_labels(tmp_path):
    layer = Labels(np.ones(SHAPE, int), name="organs", features={"index": [1], "class": ["spleen"]})
    write_layer(str(tmp_path / "organs.nii"), *layer.as_layer_data_tuple()[:2])
    (again,) = ViewerModel().open(str(tmp_path / "organs.nii"), plugin=PLUGIN)
    assert layer_to_volume(again).class_names == {1: "spleen"}


def test_negative_class_ids_are_refused_and_nothing_is_written(tmp_path):
    layer = Labels(np.full(SHAPE, -1), name="organs")
    with pytest.raises(MedContextError, match="organs"):
        save_labels(tmp_path / "organs.nii", layer)
    assert list(tmp_path.iterdir()) == []


def test_image_of_four_dimensions_is_refused_by_name(tmp_path):
    layer = Image(np.zeros((2, 3, 4, 5)), name="film")
    with pytest.raises(MedContextError, match="“film”"):
        write_layer(str(tmp_path / "film.nii"), *layer.as_layer_data_tuple()[:2])
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("where a folder should be")
    layer = scan_layer(ViewerModel(), scan_file(tmp_path))
    with pytest.raises(MedContextError, match=r"file.*cannot be written"):
        write_layer(str(tmp_path / "file" / "x.nii"), *layer.as_layer_data_tuple()[:2])
