import numpy as np
import pytest

from napari_medcontext.core.checks import checked_image, checked_labels
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.volume import Volume

SHAPE = (4, 5, 6)


def scan(array=None, affine=None):
    array = np.ones(SHAPE, np.float32) if array is None else array
    return Volume(array, np.eye(4) if affine is None else affine, "CT 7")


def labels(array=None, affine=None):
    if array is None:
        array = np.zeros(SHAPE, np.uint8)
        array[1, 1, 1] = 3
    return Volume(array, np.eye(4) if affine is None else affine, "organs 7")


def with_voxel(value, dtype=np.float32):
    array = np.zeros(SHAPE, dtype)
    array[0, 0, 0] = 1
    array[1, 2, 3] = value
    return array


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.float16, np.float32, np.float64])
def test_good_scan_passes_unchanged(dtype):
    image = scan(np.ones(SHAPE, dtype))
    assert checked_image(image) is image


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.ones((4, 5)), "a single slice"),
        (np.ones((4, 5, 6, 2)), "a series of volumes"),
        (np.ones((0, 5, 6)), "no voxels"),
        (np.ones(SHAPE, complex), "not intensities"),
        (with_voxel(np.nan), "1 voxels that are NaN or infinite"),
        (with_voxel(np.inf), "1 voxels that are NaN or infinite"),
        (with_voxel(-np.inf), "1 voxels that are NaN or infinite"),
    ],
)
def test_bad_scan_is_refused_by_name(array, told):
    with pytest.raises(ScanError, match=told) as error:
        checked_image(scan(array))
    assert "“CT 7”" in str(error.value)


def test_opposite_infinities_are_both_counted():
    array = with_voxel(np.inf)
    array[3, 3, 3] = -np.inf
    with pytest.raises(ScanError, match="2 voxels"):
        checked_image(scan(array))


def test_huge_but_finite_scan_passes():
    checked_image(scan(np.full(SHAPE, np.finfo(np.float64).max)))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
def test_whole_numbers_of_any_type_are_labels(dtype):
    checked = checked_labels(labels(with_voxel(5, dtype)), scan())
    assert checked.array.dtype == np.uint8
    assert np.unique(checked.array).tolist() == [0, 1, 5]
    assert checked.name == "organs 7"


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.ones((4, 5, 7), np.uint8), "shape"),
        (np.zeros(SHAPE, np.uint8), "empty"),
        (np.full(SHAPE, 4, np.uint8), "one class only, 4"),
        (with_voxel(-2), "negative"),
        (with_voxel(1.5), "not a whole number"),
        (with_voxel(np.nan), "not a finite number"),
    ],
)
def test_bad_labels_are_refused_by_name(array, told):
    with pytest.raises(ScanError, match=told) as error:
        checked_labels(labels(array), scan())
    assert "“organs 7”" in str(error.value)


def test_shapes_that_differ_name_both():
    with pytest.raises(ScanError) as error:
        checked_labels(labels(np.ones((4, 5, 7), np.uint8)), scan())
    assert all(part in str(error.value) for part in ("organs 7", "CT 7", "(4, 5, 7)", "(4, 5, 6)"))


def test_affines_that_differ_name_both_and_the_distance():
    moved = np.eye(4)
    moved[0, 3] = 3.0
    with pytest.raises(ScanError, match=r"3\.0 mm") as error:
        checked_labels(labels(affine=moved), scan())
    assert all(part in str(error.value) for part in ("organs 7", "CT 7", "affines differ"))


@pytest.mark.parametrize("orientation", ["LPS", "SAR", "IPL"])
def test_labels_stored_in_another_orientation_come_back_in_the_scans(orientation):
    drawn = labels(np.arange(120, dtype=np.uint8).reshape(SHAPE))
    checked = checked_labels(drawn.reoriented(orientation), scan())
    np.testing.assert_array_equal(checked.array, drawn.array)
    np.testing.assert_array_equal(checked.affine, drawn.affine)


def test_rounding_that_tips_the_orientation_of_a_scan_at_45_degrees_is_forgiven():
    near, far = np.eye(4), np.eye(4)
    for affine, degrees in ((near, 45 - 1e-5), (far, 45 + 1e-5)):
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        affine[:2, :2] = [[cos, -sin], [sin, cos]]
    assert scan(affine=near).orientation != labels(affine=far).orientation
    checked = checked_labels(labels(affine=far), scan(affine=near))
    np.testing.assert_array_equal(checked.array, labels().array)
    assert checked.orientation == scan(affine=near).orientation


def test_other_shape_in_another_orientation_is_told_as_the_scan_lies():
    drawn = labels(np.ones((4, 5, 7), np.uint8)).reoriented("SAR")
    with pytest.raises(ScanError, match=r"from SAR to RAS.* have the shape \(4, 5, 7\)"):
        checked_labels(drawn, scan())


def test_rounding_in_the_affine_is_forgiven():
    moved = np.eye(4)
    moved[0, 3] = 0.01
    checked_labels(labels(affine=moved), scan())
