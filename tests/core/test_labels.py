import numpy as np
import pytest

from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.labels import as_label_array, bounding_box, class_boxes


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.int64, np.float32, np.float64])
def test_whole_numbers_of_any_type_become_the_smallest_unsigned_type(dtype):
    labels = as_label_array(np.array([[0, 1], [1, 0]], dtype=dtype), "organs")
    assert labels.dtype == np.uint8
    assert labels.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("highest", "dtype"), [(255, np.uint8), (256, np.uint16), (70_000, np.uint32)]
)
def test_type_grows_with_the_highest_class_id(highest, dtype):
    for source in (np.int64, np.float64):
        labels = as_label_array(np.array([0, highest], dtype=source), "organs")
        assert labels.dtype == dtype
        assert labels.max() == highest


def test_unsigned_bytes_are_not_copied():
    array = np.array([0, 1, 2], dtype=np.uint8)
    assert as_label_array(array, "organs") is array


def test_ids_rounded_by_a_scaled_header_are_taken():
    scaled = np.float32(0.1) * np.array([0, 10, 20, 30], dtype=np.float32) + np.float32(1e-6)
    assert as_label_array(scaled, "organs").tolist() == [0, 1, 2, 3]
    assert as_label_array(np.array([-1e-6, 0.999999]), "organs").tolist() == [0, 1]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([0.0, 0.5, 2.25], ["2 voxels", "not a whole number", "0.5"]),
        ([0.0, 1.0, np.nan], ["1 voxel is", "finite", "nan"]),
        ([0.0, np.inf, -np.inf], ["2 voxels", "finite", "inf"]),
        ([0, -1, 3], ["1 voxel is", "negative", "-1"]),
        ([0.0, -2.0, -2.0], ["2 voxels", "negative", "-2"]),
        ([0.0, 1e12], ["too large", "1e+12"]),
    ],
)
def test_what_is_no_class_id_is_refused_by_name_count_and_example(values, told):
    with pytest.raises(ScanError) as refusal:
        as_label_array(np.array(values), "organs of scan 1")
    for part in ["“organs of scan 1”", "nearest neighbour", *told]:
        assert part in str(refusal.value)


def test_values_of_no_numeric_type_are_refused():
    with pytest.raises(ScanError, match="complex64"):
        as_label_array(np.zeros(3, dtype=np.complex64), "organs")


def test_labels_without_voxels_pass():
    assert as_label_array(np.zeros((0, 2, 2)), "organs").shape == (0, 2, 2)


@pytest.mark.parametrize("high", [9, 100_000])
@pytest.mark.parametrize("layout", ["C", "F", "flipped", "permuted"])
def test_boxes_bound_each_class_however_voxels_lie_in_memory(layout, high):
    labels = np.zeros((6, 7, 8), dtype=np.uint32)
    labels[1:3, 2, 4:8] = 2
    labels[5, 6, 0] = high
    labels = {
        "C": labels,
        "F": np.asfortranarray(labels),
        "flipped": labels[::-1, :, ::-1].copy()[::-1, :, ::-1],
        "permuted": labels.transpose(1, 2, 0).copy().transpose(2, 0, 1),
    }[layout]
    assert class_boxes(labels) == {
        2: (slice(1, 3), slice(2, 3), slice(4, 8)),
        high: (slice(5, 6), slice(6, 7), slice(0, 1)),
    }


def test_boxes_of_background_alone_are_none():
    assert class_boxes(np.zeros((3, 3, 3), dtype=np.uint8)) == {}


@pytest.mark.parametrize("order", ["C", "F"])
def test_bounding_box_is_that_of_what_is_true_however_it_lies_in_memory(order):
    mask = np.zeros((7, 9, 5), bool, order)
    mask[2, 3, 4] = mask[5, 1, 4] = True
    assert bounding_box(mask) == (slice(2, 6), slice(1, 4), slice(4, 5))
    assert bounding_box(mask[::-1].transpose(1, 0, 2)) == (slice(1, 4), slice(1, 5), slice(4, 5))
    mask[:] = False
    assert bounding_box(mask) == (slice(0, 7), slice(0, 9), slice(0, 5))
