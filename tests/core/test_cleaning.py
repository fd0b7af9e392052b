"""Only what was asked for is tidied, class by class, and nothing else is touched."""

import numpy as np
import pytest

from napari_medcontext.core.cleaning import Cleaning, cleaned
from napari_medcontext.core.volume import Volume

SPACING = np.diag([2.0, 1.0, 5.0, 1.0])
VOXEL_ML = 0.01


@pytest.fixture(params=["C", "F"])
def labels(request):
    """Class 1: a shell of 98 voxels round a hole, 8 voxels, 1 voxel. Class 7: 12 voxels and 2."""
    array = np.zeros((16, 14, 12), np.uint8, order=request.param)
    array[1:6, 1:6, 1:6] = 1
    array[2:5, 2:5, 2:5] = 0
    array[8:10, 1:3, 1:3] = 1
    array[12, 1, 1] = 1
    array[8:11, 8:10, 8:10] = 7
    array[14, 12, 9:11] = 7
    array[3, 3, 3] = 7
    return Volume(array, SPACING, class_names={1: "liver", 7: "spleen"})


def counts(volume):
    return {k: int(np.count_nonzero(volume.array == k)) for k in (1, 7)}


def test_nothing_is_done_unless_asked_for(labels):
    assert not Cleaning().is_any
    result = cleaned(labels, Cleaning())
    np.testing.assert_array_equal(result.labels.array, labels.array)
    assert (result.removed, result.removed_ml, result.filled_ml) == (0, 0, 0)


def test_largest_piece_of_each_class_stays(labels):
    result = cleaned(labels, Cleaning(largest=True))
    assert counts(result.labels) == {1: 98, 7: 12}
    assert result.removed == 4
    assert result.removed_ml == pytest.approx((8 + 1 + 2 + 1) * VOXEL_ML)
    assert result.labels.class_names == labels.class_names
    assert (result.labels.array[labels.array == 0] == 0).all()


def test_pieces_below_a_volume_go_whatever_their_class(labels):
    result = cleaned(labels, Cleaning(least_ml=2 * VOXEL_ML))
    assert counts(result.labels) == {1: 98 + 8, 7: 12 + 2}
    assert result.removed == 2


def test_holes_are_filled_with_the_class_round_them_but_no_other_class_is_painted_over(labels):
    result = cleaned(labels, Cleaning(fill_holes=True))
    assert counts(result.labels) == {1: 98 + 26 + 8 + 1, 7: 12 + 2 + 1}
    assert result.filled_ml == pytest.approx(26 * VOXEL_ML)
    assert result.labels.array[3, 3, 3] == 7
    both = cleaned(labels, Cleaning(fill_holes=True, largest=True))
    assert counts(both.labels) == {1: 125, 7: 12}


def test_hole_that_is_open_to_the_outside_stays(labels):
    labels.array[3, 3, 5] = 0
    result = cleaned(labels, Cleaning(fill_holes=True))
    assert result.filled_ml == 0


def test_pieces_that_touch_by_a_corner_are_one(labels):
    array = np.zeros((4, 4, 4), np.uint8)
    array[1, 1, 1] = array[2, 2, 2] = 3
    result = cleaned(Volume(array, SPACING), Cleaning(largest=True))
    assert result.removed == 0


def test_words_say_what_is_asked_for_and_what_was_done(labels):
    cleaning = Cleaning(largest=True, fill_holes=True, least_ml=0.5)
    assert cleaning.text == "pieces from 0.5 ml on, largest pieces, holes filled"
    assert cleaned(labels, Cleaning(largest=True)).text == (
        "Removed 4 pieces (0.12 ml), filled 0.00 ml."
    )
