"""Volumes become layers and come back without losing where they lie."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from napari_medcontext.core.colours import class_colour, class_colours
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.volume import Volume
from napari_medcontext.layer_data import image_layer_data, labels_layer_data
from napari_medcontext.layer_volumes import layer_to_volume, to_source_orientation
from napari_medcontext.pairing import pair_layers, scan_layers
from napari_medcontext.prediction_layers import Provenance, add_prediction
from napari_medcontext.viewer_layers import add_volumes

SHAPE = (7, 9, 11)
OFFSET = (12.5, -33.0, 41.25)


def rotation(degrees: float) -> np.ndarray:
    """Return a turn about the patient's left-right axis, as a tilted gantry makes it."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(4)
    matrix[1:3, 1:3] = [[cosine, -sine], [sine, cosine]]
    return matrix


def placed(matrix: np.ndarray) -> np.ndarray:
    affine = np.array(matrix, dtype=float)
    affine[:3, 3] = OFFSET
    return affine


PERMUTED = [[0, 0, 2.0, 0], [0.8, 0, 0, 0], [0, -3.0, 0, 0], [0, 0, 0, 1]]
AFFINES = {
    "diagonal RAS": placed(np.diag([0.8, 0.9, 1.2, 1])),
    "flipped LPS": placed(np.diag([-0.8, -0.9, 1.2, 1])),
    "LAS": placed(np.diag([-0.8, 0.9, 1.2, 1])),
    "thick slices": placed(np.diag([-0.7, -0.7, 5.0, 1])),
    "permuted": placed(PERMUTED),
    "oblique": placed(rotation(22) @ np.diag([-0.8, -0.9, 3.0, 1])),
    "oblique, permuted": placed(rotation(-22) @ np.array(PERMUTED)),
}
every_affine = pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)


def scan(affine: np.ndarray = AFFINES["flipped LPS"], name: str = "scan 1") -> Volume:
    array = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    return Volume(array, affine, name)


def image_layer(volume: Volume) -> Image:
    return Layer.create(*image_layer_data(volume))


def labels_layer(volume: Volume) -> Labels:
    return Layer.create(*labels_layer_data(volume))


def drawn_on(image: Image) -> tuple[ViewerModel, Labels]:
    """Return what napari's own "New labels" button makes of a selected image."""
    viewer = ViewerModel()
    viewer.add_layer(image)
    viewer.layers.selection.active = image
    viewer._new_labels()
    return viewer, viewer.layers[-1]


@every_affine
def test_layer_goes_back_to_the_very_array_and_affine_of_its_file(affine):
    volume = scan(affine)
    back = to_source_orientation(image_layer(volume))
    np.testing.assert_array_equal(back.array, volume.array)
    np.testing.assert_array_equal(back.affine, affine)


@every_affine
def test_layer_volume_has_every_voxel_at_its_true_place(affine):
    volume = scan(affine)
    shown = layer_to_volume(image_layer(volume))
    marked = np.argwhere(shown.array == volume.array[1, 2, 8])[0]
    np.testing.assert_allclose(
        nib.affines.apply_affine(shown.affine, marked),
        nib.affines.apply_affine(affine, (1, 2, 8)),
        atol=1e-9,
    )


@every_affine
def test_layer_axes_run_to_feet_back_and_left_with_positive_scale(affine):
    layer = image_layer(scan(affine))
    assert layer_to_volume(layer).orientation == "IPL"
    assert (layer.scale > 0).all()
    np.testing.assert_allclose(sorted(layer.scale), sorted(scan(affine).spacing))
    assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
    np.testing.assert_array_equal(layer.rotate, np.eye(3))


def test_layer_data_are_a_view_and_not_a_copy():
    volume = scan()
    assert np.shares_memory(image_layer_data(volume)[0], volume.array)


def test_point_of_the_patient_has_one_place_on_screen_for_scans_of_different_extent():
    whole = scan(AFFINES["flipped LPS"])
    cropped = Volume(whole.array[2:, 1:-2, 3:], whole.affine.copy(), "crop")
    cropped.affine[:3, 3] = nib.affines.apply_affine(whole.affine, (2, 1, 3))
    first, second = image_layer(whole), image_layer(cropped.reoriented("RAS"))
    value = whole.array[4, 5, 6]
    places = [layer.data_to_world(np.argwhere(layer.data == value)[0]) for layer in (first, second)]
    np.testing.assert_allclose(*places)
    right, anterior, superior = nib.affines.apply_affine(whole.affine, (4, 5, 6))
    np.testing.assert_allclose(places[0], (-superior, -anterior, -right))


@every_affine
def test_new_labels_layer_takes_place_and_axes_of_the_scan_under_it(affine):
    volume = scan(affine)
    viewer, drawn = drawn_on(image_layer(volume))
    assert "medcontext" not in drawn.metadata
    back = to_source_orientation(drawn, viewer.layers)
    assert back.shape == SHAPE
    np.testing.assert_array_equal(back.affine, affine)


def test_new_labels_layer_takes_the_scan_whose_name_it_bears_among_scans_of_one_place():
    straight = AFFINES["oblique"]
    tilted = image_layer(scan(straight, "tilted"))
    alike = image_layer(scan(tilted.metadata["medcontext"]["affine"], "straight"))
    alike.metadata["medcontext"]["affine"] = np.diag([1.0, 1, 1, 1])
    viewer, drawn = drawn_on(tilted)
    layers = [alike, *viewer.layers]
    np.testing.assert_array_equal(to_source_orientation(drawn, layers).affine, straight)


def test_layer_of_which_nothing_is_known_lies_where_it_is_shown():
    layer = Image(np.zeros(SHAPE), scale=(3, 2, 1), translate=(10, 20, 30))
    volume = layer_to_volume(layer)
    np.testing.assert_allclose(nib.affines.apply_affine(volume.affine, (1, 1, 1)), (-31, -22, -13))


def test_layer_units_of_length_are_converted_to_millimetres():
    layer = Image(np.zeros(SHAPE), scale=(3, 2, 1), units=("cm", "mm", "um"))
    assert layer_to_volume(layer).spacing == pytest.approx((30, 2, 0.001))


@pytest.mark.parametrize("way", ["translate", "affine", "scale"])
def test_move_by_the_user_is_honoured_however_it_was_made(way):
    volume = scan(AFFINES["diagonal RAS"])
    layer = image_layer(volume)
    moves = {
        "translate": np.add(layer.translate, (0, 0, 5)),
        "affine": np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 5], [0, 0, 0, 1]]),
        "scale": layer.scale * (1, 1, 2),
    }
    # The screen's right is the patient's left; the first column shown is the last of the file.
    wanted = {"translate": -5.0, "affine": -5.0, "scale": -(SHAPE[0] - 1) * 0.8}[way]
    setattr(layer, way, moves[way])
    moved = to_source_orientation(layer)
    first_voxel = nib.affines.apply_affine(moved.affine, (0, 0, 0))
    np.testing.assert_allclose(first_voxel, np.add(OFFSET, (wanted, 0, 0)), atol=1e-6)


def test_labels_moved_by_one_voxel_over_an_oblique_scan_are_one_voxel_further_in_the_patient():
    volume = scan(AFFINES["oblique"])
    labels = labels_layer(volume.with_array(np.ones(SHAPE, np.uint8)))
    labels.translate = np.add(labels.translate, (0, 0, labels.scale[2]))
    moved = to_source_orientation(labels)
    assert moved.affine == pytest.approx(volume.affine @ translation((1, 0, 0)))


def translation(voxels: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = voxels
    return matrix


@pytest.mark.parametrize(
    ("layer", "problem"),
    [
        (Image(np.zeros((4, 5)), name="flat"), "2 dimensions"),
        (Image(np.zeros((2, 4, 5, 6)), name="flat"), "4 dimensions"),
        (Image(np.zeros((4, 5, 6, 3)), rgb=True, name="flat"), "colours"),
        (Image([np.zeros((8, 8, 8)), np.zeros((4, 4, 4))], multiscale=True, name="flat"), "scale"),
    ],
    ids=["2D", "4D", "colour", "multiscale"],
)
def test_layer_that_is_no_scan_is_refused_by_name(layer, problem):
    with pytest.raises(ScanError, match=f"“flat”.*{problem}"):
        layer_to_volume(layer)


def test_contrast_limits_ignore_the_few_brightest_voxels_and_voxels_that_are_no_number():
    volume = scan()
    volume.array[0, 0, 0], volume.array[1, 1, 1] = 1e6, np.nan
    low, high = image_layer(volume).contrast_limits
    assert -4 < low < -1 < 1 < high < 4


@pytest.mark.parametrize("value", [0.0, -7.0, np.nan])
def test_scan_of_one_value_has_usable_contrast_limits(value):
    low, high = image_layer(scan().with_array(np.full(SHAPE, value))).contrast_limits
    assert low < high


def test_labels_are_kept_in_the_smallest_type_with_names_in_the_features_table():
    ids = np.zeros(SHAPE)
    ids[2, 3, 4] = 300
    layer = labels_layer(Volume(ids, np.eye(4), "organs", {0: "background", 300: "spleen"}))
    assert layer.data.dtype == np.uint16
    assert layer.features.to_dict("list") == {"index": [300], "class": ["spleen"]}
    assert layer_to_volume(layer).class_names == {0: "background", 300: "spleen"}


def test_class_names_are_taken_from_the_features_table_of_a_users_own_layer():
    layer = Labels(np.zeros(SHAPE, int), features={"index": [1, 4], "class": ["liver", "spleen"]})
    assert layer_to_volume(layer).class_names == {1: "liver", 4: "spleen"}


@pytest.mark.parametrize("value", [0.5, -1.0, np.nan])
def test_labels_that_are_no_class_ids_are_refused(value):
    with pytest.raises(ScanError, match="scan 1"):
        labels_layer_data(scan().with_array(np.full(SHAPE, value)))


def test_class_has_one_colour_in_every_layer_and_the_first_sixteen_differ():
    first = labels_layer(scan().with_array(np.full(SHAPE, 3, np.uint8)))
    second = labels_layer(scan().with_array(np.full(SHAPE, 900, np.uint16)))
    np.testing.assert_array_equal(first.get_color(3), second.get_color(3))
    np.testing.assert_allclose(second.get_color(900), class_colour(900))
    colours = class_colours()
    distances = [np.abs(colours[a] - colours[b]).sum() for a in range(1, 17) for b in range(1, a)]
    assert min(distances) > 0.2
    assert colours[0][3] == 0


def predicted_on(volume: Volume, value: int = 2) -> Volume:
    array = np.zeros(SHAPE, np.uint8)
    array[1, 2, 8] = value
    return Volume(array, volume.affine, "prediction", {1: "wall", 2: "blood"})


@every_affine
def test_prediction_lies_on_its_image_and_has_its_class_names(affine):
    volume = scan(affine)
    image, viewer = image_layer(volume), ViewerModel()
    viewer.add_layer(image)
    layer = add_prediction(
        viewer, predicted_on(volume).reoriented("RAS"), Provenance(image, "student")
    )
    (marked,) = np.argwhere(layer.data == 2)
    assert image.data[tuple(marked)] == volume.array[1, 2, 8]
    np.testing.assert_allclose(layer.data_to_world(marked), image.data_to_world(marked))
    assert layer.metadata["medcontext"]["prediction_of"] == "scan 1"
    saved = to_source_orientation(layer)
    assert saved.class_names == {1: "wall", 2: "blood"}
    np.testing.assert_array_equal(saved.affine, affine)
    assert saved.array[1, 2, 8] == 2


@pytest.mark.parametrize("seen", [True, False])
def test_prediction_is_shown_where_its_scan_is(seen):
    volume = scan()
    image, viewer = image_layer(volume), ViewerModel()
    viewer.add_layer(image)
    image.visible = seen
    layer = add_prediction(viewer, predicted_on(volume), Provenance(image, "student"))
    assert layer.visible == seen
    layer.visible = not seen
    add_prediction(viewer, predicted_on(volume, 1), Provenance(image, "student"))
    assert layer.visible != seen


def test_second_prediction_renews_the_first_and_no_other_layer():
    volume = scan()
    image, viewer = image_layer(volume), ViewerModel()
    own = Labels(np.zeros(image.data.shape, np.uint8), name="student")
    other = image_layer(scan(name="scan 2"))
    for layer in (image, other, own):
        viewer.add_layer(layer)
    first = add_prediction(viewer, predicted_on(volume), Provenance(image, "student"))
    elsewhere = add_prediction(viewer, predicted_on(volume), Provenance(other, "student"))
    again = add_prediction(viewer, predicted_on(volume, 1), Provenance(image, "student"))
    assert again is first
    assert again is not elsewhere
    assert len(viewer.layers) == 5
    assert (first.data.max(), elsewhere.data.max(), own.data.max()) == (1, 2, 0)


@pytest.mark.parametrize("keep", ["rename", "lock"])
def test_prediction_that_the_user_renamed_or_locked_is_kept(keep):
    volume = scan()
    image, viewer = image_layer(volume), ViewerModel()
    viewer.add_layer(image)
    first = add_prediction(viewer, predicted_on(volume), Provenance(image, "student"))
    if keep == "rename":
        first.name = "my favourite"
    else:
        first.locked = True
    second = add_prediction(viewer, predicted_on(volume, 1), Provenance(image, "student"))
    assert second is not first
    assert first.data.max() == 2


def test_prediction_that_the_user_corrected_is_kept_and_the_next_one_renewed():
    volume = scan()
    image, viewer = image_layer(volume), ViewerModel()
    viewer.add_layer(image)
    corrected = add_prediction(viewer, predicted_on(volume), Provenance(image, "student"))
    corrected.data_setitem(tuple(np.array([0]) for _ in range(3)), 1)
    second = add_prediction(viewer, predicted_on(volume, 1), Provenance(image, "student"))
    assert second is not corrected
    assert (corrected.data[0, 0, 0], corrected.data.max(), second.data.max()) == (1, 2, 1)
    assert add_prediction(viewer, predicted_on(volume), Provenance(image, "student")) is second
    assert second.data.max() == 2


def test_predictions_of_two_runs_of_one_name_do_not_replace_each_other():
    volume = scan()
    image, viewer = image_layer(volume), ViewerModel()
    viewer.add_layer(image)
    first, second, again = (
        add_prediction(
            viewer, predicted_on(volume), Provenance(image, "run-1", Path(folder, "run-1"))
        )
        for folder in ("monday", "tuesday", "monday")
    )
    assert again is first
    assert second is not first


def test_prediction_of_an_image_moved_meanwhile_follows_the_image():
    volume = scan()
    image, viewer = image_layer(volume), ViewerModel()
    viewer.add_layer(image)
    image.translate = np.add(image.translate, (4, 0, 0))
    layer = add_prediction(viewer, predicted_on(volume), Provenance(image, "student"))
    np.testing.assert_allclose(layer.translate, image.translate)
    np.testing.assert_allclose(layer_to_volume(layer).affine, layer_to_volume(image).affine)


def test_prediction_of_another_grid_is_refused_and_adds_nothing():
    viewer = ViewerModel()
    image = viewer.add_layer(image_layer(scan()))
    elsewhere = predicted_on(scan(AFFINES["thick slices"]))
    with pytest.raises(ScanError, match="scan 1"):
        add_prediction(viewer, elsewhere, Provenance(image, "student"), {"blood": np.zeros(SHAPE)})
    assert len(viewer.layers) == 1


def test_probabilities_are_hidden_image_layers_in_the_colour_of_their_class():
    volume = scan(AFFINES["permuted"])
    viewer = ViewerModel()
    image = viewer.add_layer(image_layer(volume))
    maps = {"blood": np.linspace(0, 1, volume.array.size).reshape(SHAPE)}
    for _ in range(2):
        add_prediction(viewer, predicted_on(volume), Provenance(image, "student"), maps)
    (layer,) = [layer for layer in viewer.layers if layer.name == "student · blood"]
    assert len(viewer.layers) == 3
    assert (layer.visible, layer.blending, layer.contrast_limits) == (False, "additive", [0, 1])
    np.testing.assert_allclose(layer.colormap.colors[-1], class_colour(2), atol=1e-6)
    np.testing.assert_allclose(to_source_orientation(layer).array, maps["blood"], atol=1e-6)


def pairs_by_name(images: list[str], labels: list[str]) -> dict[str, str | None]:
    volume = scan()
    ids = volume.with_array(np.zeros(SHAPE, np.uint8))
    pairs = pair_layers(
        [image_layer(Volume(volume.array, volume.affine, name)) for name in images],
        [labels_layer(Volume(ids.array, ids.affine, name)) for name in labels],
    )
    return {image.name: label and label.name for image, label in pairs}


@pytest.mark.parametrize(
    "pairs",
    [
        {"scan 1": "scan 1 organs", "scan 2": "scan 2 organs", "scan 10": "scan 10 organs"},
        {"la_001": "la_001-labels", "la_002": "la_002_seg", "la_003": None},
        {"la_001": "la_001 labels", "la_012": "labelsTr la_012"},
        {"case_01_flair": "case_01_label", "case_02_flair": "case_02_label"},
        {"case_05 [1]": "case_05 organs", "case_01": None},
        {"brain [0]": "brain [0] organs", "brain [1]": "brain [1] organs"},
        {"patient": "ground truth"},
        {"scan 1": None, "scan 2": None},
    ],
)
def test_labels_are_paired_with_the_scan_that_their_name_says(pairs):
    labels = [name for name in pairs.values() if name]
    assert pairs_by_name(list(pairs), labels[::-1]) == pairs


def test_labels_whose_numbers_contradict_every_scan_are_paired_with_none():
    assert pairs_by_name(["scan 1"], ["scan 2 organs"]) == {"scan 1": None}


def test_the_number_that_napari_adds_to_a_name_is_none_of_the_names():
    assert pairs_by_name(["case_05 [1]"], ["case_01 labels"]) == {"case_05 [1]": None}


def test_nameless_labels_are_not_guessed_between_two_scans_of_one_grid():
    assert pairs_by_name(["a", "b"], ["organs"]) == {"a": None, "b": None}


def test_labels_are_given_to_one_scan_only():
    pairs = pairs_by_name(["case_01_flair", "case_01_t1gd"], ["case_01_label"])
    assert sorted(pairs.values(), key=str) == [None, "case_01_label"]


def test_a_word_shared_by_chance_pairs_nothing():
    pairs = pairs_by_name(
        ["a distance map", "an older scan", "case 7"], ["a draft", "case 7 organs"]
    )
    assert pairs == {"a distance map": None, "an older scan": None, "case 7": "case 7 organs"}


def test_labels_on_other_voxels_and_predictions_are_not_paired():
    volume, viewer = scan(), ViewerModel()
    image = viewer.add_layer(image_layer(volume))
    prediction = add_prediction(viewer, predicted_on(volume), Provenance(image, "scan 1 student"))
    elsewhere = labels_layer(predicted_on(scan(AFFINES["thick slices"])))
    elsewhere.name = "scan 1 organs"
    assert pair_layers([image], [prediction, elsewhere]) == [(image, None)]


def test_what_was_predicted_or_kept_from_a_preview_is_no_scan_and_no_reference():
    volume, viewer = scan(), ViewerModel()
    image = viewer.add_layer(image_layer(volume))
    maps = {"blood": np.zeros(SHAPE)}
    add_prediction(viewer, predicted_on(volume), Provenance(image, "scan 1 student"), maps)
    kept = [Volume(volume.array, volume.affine, name) for name in ("preview: image", "masked")]
    ids = predicted_on(volume)
    labels = [Volume(ids.array, ids.affine, name) for name in ("preview: reference", "teacher")]
    add_volumes(viewer, kept, labels, seen=(), preview_of="scan 1")
    images = [layer for layer in viewer.layers if isinstance(layer, Image)]
    drawn = [layer for layer in viewer.layers if isinstance(layer, Labels)]
    assert (len(images), len(drawn)) == (4, 3)
    assert scan_layers(viewer.layers) == [image]
    assert pair_layers(images, drawn) == [(layer, None) for layer in images]


def test_labels_drawn_by_the_user_are_paired_with_their_scan():
    image = image_layer(scan())
    _, drawn = drawn_on(image)
    assert pair_layers([image], [drawn]) == [(image, drawn)]
