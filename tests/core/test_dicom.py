"""DICOM series: what makes one volume is read in its true place; what does not is refused."""

import warnings

import numpy as np
import pydicom
import pytest
from dicom_files import (
    COLUMN_SPACING,
    CORONAL,
    FIRST_MM,
    ROW_SPACING,
    STEP,
    write_series,
    write_slice,
)

from napari_medcontext.core.errors import ScanError, ScanWarning
from napari_medcontext.core.formats.dicom import all_series
from napari_medcontext.core.io import list_scans, read_geometry, read_volume


def test_series_lies_where_its_headers_say_whatever_its_files_are_called(tmp_path):
    hu = write_series(tmp_path / "series")
    volume = read_volume(tmp_path / "series")
    assert volume.name == "series"
    np.testing.assert_array_equal(volume.array, hu.transpose(2, 1, 0))
    assert volume.spacing == pytest.approx((COLUMN_SPACING, ROW_SPACING, STEP))
    for path in (tmp_path / "series").iterdir():
        one = pydicom.dcmread(path)
        index = round((one.ImagePositionPatient[2] - FIRST_MM[2]) / STEP)
        world = volume.affine @ [0, 0, index, 1]
        np.testing.assert_allclose(world[:2], -np.array(one.ImagePositionPatient[:2]), atol=1e-6)
        assert world[2] == pytest.approx(one.ImagePositionPatient[2])
    grid = read_geometry(tmp_path / "series")
    assert grid.shape == volume.shape
    np.testing.assert_array_equal(grid.affine, volume.affine)


def test_slices_of_any_direction_make_a_volume(tmp_path):
    hu = write_series(tmp_path / "series", step=(0.0, STEP, 0.0), directions=CORONAL)
    volume = read_volume(tmp_path / "series")
    assert volume.orientation == "LIP"
    np.testing.assert_array_equal(volume.array, hu.transpose(2, 1, 0))
    np.testing.assert_allclose(volume.affine[:3, 3], FIRST_MM * (-1, -1, 1))


def test_files_without_an_ending_and_one_slice_name_their_series(tmp_path):
    write_series(tmp_path / "study", names="IM{}")
    assert list_scans(tmp_path) == [tmp_path / "study"]
    assert list_scans(tmp_path / "study") == [tmp_path / "study"]
    whole, by_slice = read_volume(tmp_path / "study"), read_volume(tmp_path / "study" / "IM0")
    np.testing.assert_array_equal(whole.array, by_slice.array)
    assert by_slice.name == "study"


def test_folder_of_several_series_names_a_file_of_each(tmp_path):
    hu = write_series(tmp_path / "study", names="a{}.dcm", series="1.2.3")
    write_series(tmp_path / "study", names="b{}.dcm", series="1.2.4", leave_out=(5,))
    with pytest.raises(ScanError, match=r"holds 2 series.*a\d\.dcm.*6 files.*b\d\.dcm.*5 files"):
        read_volume(tmp_path / "study")
    assert [len(one.files) for one in all_series(tmp_path / "study")] == [6, 5]
    volume = read_volume(tmp_path / "study" / "a0.dcm")
    np.testing.assert_array_equal(volume.array, hu.transpose(2, 1, 0))


def test_tilted_gantry_is_told_and_keeps_the_slices_in_their_places(tmp_path):
    step = np.array([0.0, 0.45, STEP])
    write_series(tmp_path / "series", step=step)
    with pytest.warns(ScanWarning, match=r"tilted gantry.*10\.2°"):
        volume = read_volume(tmp_path / "series")
    last = volume.affine @ [0, 0, 5, 1]
    np.testing.assert_allclose(last[:3], (FIRST_MM + 5 * step) * (-1, -1, 1), atol=1e-6)


def strange_slice(folder, *, at, **more):
    """Write one more slice, so many millimetres from the first."""
    write_slice(folder / "x.dcm", np.zeros((7, 5)), np.add(FIRST_MM, at), **more)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: write_series(folder, leave_out=(2, 3)), "2 slices are missing"),
        (
            lambda folder: [
                write_series(folder, names=f"{phase}{{}}.dcm") for phase in ("early", "late")
            ],
            "6 slices at the place of another",
        ),
        (
            lambda folder: (
                write_series(folder),
                write_slice(folder / "x.dcm", np.zeros((7, 5)), FIRST_MM, directions=CORONAL),
            ),
            "different direction",
        ),
        (
            lambda folder: (
                write_series(folder),
                write_slice(folder / "x.dcm", np.zeros((9, 5)), FIRST_MM - (0, 0, STEP)),
            ),
            "different size",
        ),
        (
            lambda folder: (write_series(folder), strange_slice(folder, at=(0, 0, 1.5 * STEP))),
            "unevenly",
        ),
        (
            lambda folder: (
                write_series(folder, leave_out=(3,)),
                strange_slice(folder, at=(6.0, 0, 3 * STEP)),
            ),
            "unevenly",
        ),
        (
            lambda folder: (
                write_series(folder, leave_out=(3,)),
                strange_slice(
                    folder, at=(0, 0, 3 * STEP), directions=((0.0, 1.0, 0.0), (-1.0, 0.0, 0.0))
                ),
            ),
            "different direction",
        ),
    ],
    ids=[
        *("missing slices", "two phases", "localizer", "sizes"),
        *("a slice between", "a slice aside", "a slice turned"),
    ],
)
def test_what_makes_no_single_volume_is_refused(tmp_path, spoil, told):
    folder = tmp_path / "series"
    spoil(folder)
    for read in (read_volume, read_geometry):
        with pytest.raises(ScanError, match=told) as refusal:
            read(folder)
        assert "series" in str(refusal.value)


def test_slice_without_a_position_is_refused(tmp_path):
    write_series(tmp_path / "series")
    path = tmp_path / "series" / "slice 0.dcm"
    one = pydicom.dcmread(path)
    del one.ImagePositionPatient
    one.save_as(path)
    with pytest.raises(ScanError, match=r"slice 0\.dcm says not where"):
        read_volume(tmp_path / "series")


def test_rounded_positions_count_as_even(tmp_path):
    write_series(tmp_path / "series", step=(0.0, 0.0, 1.3333))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_volume(tmp_path / "series").spacing[2] == pytest.approx(1.3333)


def test_folder_of_other_files_is_no_scan(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(ScanError, match="is no scan"):
        read_volume(tmp_path)
    assert list_scans(tmp_path) == []
