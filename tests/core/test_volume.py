import numpy as np
import pytest

from napari_medcontext.core.volume import Volume, same_grid


@pytest.fixture
def grid():
    affine = np.diag([1.0, 2.0, 5.0, 1.0])
    affine[:3, 3] = -30, 10, 200
    return Volume(np.zeros((3, 4, 5)), affine, "grid")


@pytest.fixture
def volume(grid):
    return grid.with_array(np.arange(60).reshape(3, 4, 5), name="volume", class_names={1: "liver"})


def shifted(volume, millimetres):
    affine = volume.affine.copy()
    affine[0, 3] += millimetres
    return Volume(volume.array, affine)


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "SAR", "PIL"])
def test_volume_stored_along_other_axes_comes_voxel_on_voxel(volume, grid, orientation):
    turned = volume.reoriented(orientation).turned_onto(grid)
    assert same_grid(turned, grid)
    np.testing.assert_array_equal(turned.array, volume.array)
    assert (turned.name, turned.class_names) == ("volume", {1: "liver"})


def test_volume_turned_onto_a_grid_shares_its_voxels(volume, grid):
    assert np.shares_memory(volume.reoriented("SAR").turned_onto(grid).array, volume.array)


def test_volume_that_lies_elsewhere_does_not_turn_onto_a_grid(volume, grid):
    assert shifted(volume, 0.02).turned_onto(grid) is not None
    assert shifted(volume, 0.5).turned_onto(grid) is None
    assert grid.with_array(grid.array).turned_onto(shifted(grid, 0.5)) is None


def test_volume_of_another_size_does_not_turn_onto_a_grid(volume, grid):
    assert Volume(volume.array[1:], volume.affine).turned_onto(grid) is None


def rotated(angle):
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return Volume(np.zeros((3, 3, 3)), affine)


def test_grids_that_agree_stay_as_they_are_although_their_axes_are_named_differently():
    first, second = rotated(np.pi / 4 - 1e-6), rotated(np.pi / 4 + 1e-6)
    assert first.orientation != second.orientation
    assert first.turned_onto(second) is first
