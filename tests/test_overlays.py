"""Layers of the Inspect dock lie on their scan, whatever its axes, and are renewed in place."""

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_medcontext.core.volume import Volume, resampled_grid
from napari_medcontext.layer_data import image_layer_data
from napari_medcontext.layer_volumes import layer_to_volume
from napari_medcontext.overlays import show_over, shown_over, slice_position, take_away

SHAPE = (12, 10, 8)
TURN = np.array(
    [[0.9, -0.4, 0.1, 3.0], [0.4, 0.9, 0.2, -5.0], [-0.1, -0.2, 2.0, 7.0], [0, 0, 0, 1]]
)
AFFINES = {
    "RAS": np.diag([1.0, 2.0, 3.0, 1.0]),
    "LPS": np.diag([-1.0, -2.0, 3.0, 1.0]),
    "oblique": TURN,
    "permuted": np.array([[0, 0, -2.0, 4], [1.5, 0, 0, 0], [0, 3.0, 0, 1], [0, 0, 0, 1.0]]),
}


@pytest.fixture(params=AFFINES)
def scan(request):
    volume = Volume(np.random.default_rng(0).random(SHAPE), AFFINES[request.param], "scan")
    viewer = ViewerModel()
    data, attributes, _ = image_layer_data(volume)
    return viewer, viewer.add_image(data, **attributes), volume


def coarse(volume, spacing=(2.0, 2.0, 2.0)):
    upright = volume.reoriented("RAS")
    affine, shape = resampled_grid(upright, spacing)
    return Volume(np.random.default_rng(1).integers(0, 2, shape, np.uint8), affine, "mask")


def test_volume_of_another_spacing_lies_where_it_does_in_the_patient(scan):
    viewer, layer, volume = scan
    finding = coarse(volume)
    shown = show_over(viewer, Labels, finding, layer, "mask", {})
    back = layer_to_volume(shown).reoriented("RAS")
    np.testing.assert_allclose(back.affine, finding.affine, atol=1e-9)
    np.testing.assert_array_equal(back.array, finding.array)
    # In the window too: the same place in the patient is the same place on the screen.
    index = np.array([1, 2, 1, 1.0])
    own = np.linalg.inv(layer_to_volume(shown).affine) @ finding.affine @ index
    other = np.linalg.inv(layer_to_volume(layer).affine) @ finding.affine @ index
    np.testing.assert_allclose(
        shown.data_to_world(own[:3]), layer.data_to_world(other[:3]), atol=1e-6
    )


def test_next_one_takes_its_place_on_the_same_scan_and_on_another(scan):
    viewer, layer, volume = scan
    first = show_over(viewer, Labels, coarse(volume), layer, "mask", {})
    again = show_over(viewer, Labels, coarse(volume, (1.5, 1.5, 2.5)), layer, "mask", {})
    assert again is first
    heat = Volume(np.zeros(SHAPE, np.float32), volume.affine, "heat")
    show_over(viewer, Image, heat, layer, "disagreement", {})
    assert [shown.name for shown in viewer.layers] == [
        "scan",
        "scan · mask",
        "scan · disagreement",
    ]
    np.testing.assert_allclose(
        layer_to_volume(again).reoriented("RAS").affine, coarse(volume, (1.5, 1.5, 2.5)).affine
    )
    take_away(viewer, "mask")
    take_away(viewer, "mask")
    assert shown_over(viewer, "mask") is None
    assert shown_over(viewer, "disagreement") is not None


def test_slice_is_found_again_in_the_window(scan):
    viewer, layer, volume = scan
    finding = coarse(volume)
    shown = show_over(viewer, Labels, finding, layer, "mask", {})
    for axis in range(3):
        across, millimetres = slice_position(finding, axis, 1, layer, list(viewer.layers))
        point = list(shown.extent.world.mean(0))
        point[across] = millimetres
        index = np.append(shown.world_to_data(point), 1.0)
        patient = layer_to_volume(shown).affine @ index
        assert (np.linalg.inv(finding.affine) @ patient)[axis] == pytest.approx(1.0, abs=1e-6)
