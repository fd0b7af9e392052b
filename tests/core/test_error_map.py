import numpy as np
import pytest

from napari_medcontext.core.error_map import (
    INVENTED,
    MISSED,
    OTHER_CLASS,
    RIGHT,
    dice_by_slice,
    error_map,
    error_map_of_all,
    largest_errors,
    worst_slice,
)

SHAPE = (6, 7, 8)


def block(*sides: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(*side) for side in sides)] = True
    return mask


PREDICTION = block((1, 4), (1, 4), (1, 4)) | block((5, 6), (6, 7), (7, 8))
REFERENCE = block((2, 5), (1, 4), (1, 4))


def test_every_voxel_of_a_class_is_right_invented_or_missed():
    errors = error_map(PREDICTION, REFERENCE)
    assert ((errors == RIGHT) == (PREDICTION & REFERENCE)).all()
    assert ((errors == INVENTED) == (PREDICTION & ~REFERENCE)).all()
    assert ((errors == MISSED) == (REFERENCE & ~PREDICTION)).all()
    assert ((errors == 0) == ~(PREDICTION | REFERENCE)).all()


def test_one_class_in_the_place_of_another_is_its_own_kind_of_error():
    prediction, reference = np.array([[[1, 2, 0, 3, 0]]]), np.array([[[1, 1, 1, 0, 0]]])
    found = error_map_of_all(prediction, reference)
    assert found.tolist() == [[[RIGHT, OTHER_CLASS, MISSED, INVENTED, 0]]]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_dice_of_a_slice_is_that_of_its_pixels(axis):
    by_slice = dice_by_slice(PREDICTION, REFERENCE, axis)
    for index, found in enumerate(by_slice):
        first, second = PREDICTION.take(index, axis), REFERENCE.take(index, axis)
        if not (first.any() or second.any()):
            assert np.isnan(found)
        else:
            assert found == 2 * (first & second).sum() / (first.sum() + second.sum())


def test_worst_slice_has_most_wrong_voxels_and_not_the_lowest_dice():
    prediction = PREDICTION.copy()
    prediction[2, 1:3, 1:4] = False
    # Slices 1 and 4 are wrong altogether, with 9 voxels each; the lone voxel of 5 is wrong too.
    assert worst_slice(prediction, REFERENCE, 0) == 1
    assert worst_slice(REFERENCE, REFERENCE, 0) == 2


def test_errors_are_told_apart_and_come_largest_first_with_box_and_volume():
    errors = error_map(PREDICTION, REFERENCE)
    found = largest_errors(errors, (1.0, 2.0, 5.0), 5)
    assert [(region.kind, region.volume_ml) for region in found] == [
        (INVENTED, pytest.approx(0.09)),
        (MISSED, pytest.approx(0.09)),
        (INVENTED, pytest.approx(0.01)),
    ]
    assert found[1].box == (slice(4, 5), slice(1, 4), slice(1, 4))
    assert len(largest_errors(errors, (1.0, 2.0, 5.0), 2)) == 2
    assert largest_errors(np.zeros(SHAPE, np.uint8), (1.0, 1.0, 1.0), 3) == []
