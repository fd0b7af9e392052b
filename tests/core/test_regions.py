import numpy as np
import pytest

from napari_medcontext.core.classes import UNKNOWN, Classes
from napari_medcontext.core.config import RunSpec
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.regions import masks_of_labels, masks_of_painted
from napari_medcontext.core.settings import dump, validated

TUMOUR = {"WT": (1, 2, 4), "TC": (1, 4), "ET": (4,)}
LABELS = np.array([0, 1, 2, 4, 4, 2], dtype=np.uint8)


@pytest.fixture
def classes():
    names = dict(enumerate(TUMOUR, start=1))
    return Classes((0, 1, 2, 4), names, tuple(TUMOUR.values()), unknown_id=7)


def problem(regions):
    with pytest.raises(SettingsError) as error:
        validated(RunSpec, {"regions": regions}, "run.yaml")
    return str(error.value)


def test_table_of_regions_keeps_its_order_in_a_file(tmp_path):
    spec = RunSpec(regions=TUMOUR)
    assert list(spec.regions) == ["WT", "TC", "ET"]
    assert "WT:\n  - 1\n  - 2\n  - 4\n  TC:" in dump(spec)


def test_inner_region_before_the_one_that_holds_it_is_refused():
    assert "“WT” holds “TC” and must come before it" in problem({"TC": [1, 4], "WT": [1, 2, 4]})


def test_regions_that_overlap_without_nesting_are_refused():
    assert "nested or apart" in problem({"a": [1, 2], "b": [2, 3]})


def test_the_same_region_twice_and_an_empty_one_are_refused():
    assert "made of the same classes" in problem({"a": [1, 2], "b": [2, 1]})
    assert "at least one class" in problem({"a": []})
    assert "must be 1 or more" in problem({"a": [0]})


def test_regions_of_a_prediction_nest_and_survive_being_painted(classes):
    rng = np.random.default_rng(0)
    probabilities = rng.random((3, 8, 9, 10)).astype(np.float32)
    decided = classes.decide(probabilities)
    assert set(np.unique(decided)) == {0, 1, 2, 3}
    whole, core, enhancing = masks_of_painted(decided, TUMOUR).values()
    np.testing.assert_array_equal(whole, probabilities[0] > 0.5)
    np.testing.assert_array_equal(core, whole & (probabilities[1] > 0.5))
    np.testing.assert_array_equal(enhancing, core & (probabilities[2] > 0.5))
    assert not (enhancing & ~core).any()
    assert not (core & ~whole).any()


def test_regions_side_by_side_are_not_cut_to_each_other():
    pair = Classes((0, 1, 2, 3), {}, ((1, 2, 3), (1,), (2,)))
    probabilities = np.array([[0.9, 0.9, 0.9, 0.1], [0.9, 0.1, 0.1, 0.9], [0.1, 0.9, 0.1, 0.9]])
    assert pair.decide(probabilities).tolist() == [2, 3, 1, 0]
    masks = pair.predicted_masks(pair.decide(probabilities))
    assert {k: mask.tolist() for k, mask in masks.items()} == {
        1: [True, True, True, False],
        2: [True, False, False, False],
        3: [False, True, False, False],
    }


def test_reference_is_scored_by_unions_of_its_own_classes():
    masks = masks_of_labels(LABELS, TUMOUR)
    assert {name: mask.astype(int).tolist() for name, mask in masks.items()} == {
        "WT": [0, 1, 1, 1, 1, 1],
        "TC": [0, 1, 0, 1, 1, 0],
        "ET": [0, 0, 0, 1, 1, 0],
    }


def test_perfect_prediction_of_a_reference_has_the_same_masks(classes):
    indices = classes.to_indices(LABELS)
    painted = classes.reference_ids(indices)
    assert painted.tolist() == [0, 2, 1, 3, 3, 1]
    wanted = masks_of_labels(LABELS, TUMOUR)
    for name, mask in masks_of_painted(painted, TUMOUR).items():
        np.testing.assert_array_equal(mask, wanted[name])
    for number, mask in classes.masks(indices).items():
        np.testing.assert_array_equal(mask, classes.predicted_masks(painted)[number])


def test_unknown_voxels_have_an_index_of_their_own_and_are_in_no_mask(classes):
    indices = classes.to_indices(np.array([7, 4, 0, 3]))
    assert indices.tolist() == [UNKNOWN, 3, 0, 0]
    assert not any(mask[0] for mask in classes.masks(indices).values())
    assert classes.reference_ids(indices).tolist() == [0, 3, 0, 0]


def test_without_regions_the_most_probable_class_is_decided():
    classes = Classes((0, 2, 900), {2: "a", 900: "b"})
    probabilities = np.array([[0.5, 0.2, 0.3], [0.3, 0.5, 0.3], [0.2, 0.3, 0.4]])
    decided = classes.decide(probabilities)
    assert decided.tolist() == [0, 1, 2]
    assert classes.to_ids(decided).tolist() == [0, 2, 900]
    assert (classes.outputs, classes.predicted_ids) == (3, (2, 900))
