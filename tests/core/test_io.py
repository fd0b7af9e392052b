import gzip

import nibabel as nib
import numpy as np
import pytest

from napari_medcontext.core.errors import MedContextError, ScanError
from napari_medcontext.core.formats import scan_name
from napari_medcontext.core.io import (
    atomic_path,
    list_scans,
    read_geometry,
    read_volume,
    write_probability,
    write_volume,
)
from napari_medcontext.core.volume import Volume


@pytest.fixture
def oblique():
    angle = np.deg2rad(20)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine[:3, :3] *= [-0.7, 0.7, 3.0]
    affine[:3, 3] = 12, -30, 100
    array = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6) - 60
    return Volume(array, affine, "oblique", {1: "Milz"})


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_volume_comes_back_with_voxels_geometry_and_class_names(oblique, tmp_path, suffix):
    path = write_volume(tmp_path / "new" / f"scan{suffix}", oblique)
    back = read_volume(path)
    assert back.array.dtype == np.int16
    np.testing.assert_array_equal(back.array, oblique.array)
    np.testing.assert_allclose(back.affine, oblique.affine, atol=1e-5)
    assert back.name == "scan"
    assert back.class_names == {1: "Milz"}


def test_qform_and_sform_agree_in_millimetres(oblique, tmp_path):
    header = nib.load(write_volume(tmp_path / "scan.nii", oblique)).header
    assert header.get_xyzt_units()[0] == "mm"
    assert header["sform_code"] == header["qform_code"] == 1
    np.testing.assert_allclose(header.get_qform(), header.get_sform(), atol=1e-4)


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [(bool, np.uint8), (np.float16, np.float32), (np.int64, np.uint8), (np.uint64, np.uint8)],
)
def test_types_that_nifti_lacks_are_stored_without_loss(tmp_path, dtype, stored):
    array = np.array([[[0, 1], [1, 0]]], dtype=dtype)
    back = read_volume(write_volume(tmp_path / "a.nii", Volume(array, np.eye(4))))
    assert back.array.dtype == stored
    np.testing.assert_array_equal(back.array, array)


def test_probabilities_take_two_bytes_and_keep_their_values(tmp_path):
    array = np.random.default_rng(0).random((9, 8, 7), np.float32)
    array[0, 0, :2] = 0, 1
    path = write_probability(tmp_path / "a.nii", Volume(array, np.diag([1.0, 2.0, 3.0, 1.0])))
    assert path.stat().st_size == 352 + 2 * array.size
    back = read_volume(path).array
    assert back.dtype == np.float32
    assert np.abs(back - array).max() <= 2**-16
    assert (back.min(), back[0, 0, 0]) == (0, 0)
    assert back.max() < 1


def test_header_scaling_is_applied(tmp_path):
    image = nib.Nifti1Image(np.array([[[0, 10]]], dtype=np.int16), np.eye(4))
    image.header.set_slope_inter(2.0, -100.0)
    image.header["scl_slope"], image.header["scl_inter"] = 2.0, -100.0
    nib.save(image, tmp_path / "scaled.nii")
    raw = bytearray((tmp_path / "scaled.nii").read_bytes())
    raw[112:120] = np.array([2.0, -100.0], dtype="<f4").tobytes()
    (tmp_path / "scaled.nii").write_bytes(raw)
    stored = np.frombuffer(raw[352:], dtype="<i2")[:2]
    back = read_volume(tmp_path / "scaled.nii").array
    assert back.dtype == np.float32
    np.testing.assert_allclose(back.ravel(), stored * 2.0 - 100.0)


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1000.0), ("micron", 0.001)])
def test_other_length_units_become_millimetres(tmp_path, unit, factor):
    image = nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.diag([1.0, 2.0, 3.0, 1.0]))
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "unit.nii")
    spacing = read_volume(tmp_path / "unit.nii").spacing
    assert spacing == pytest.approx((factor, 2 * factor, 3 * factor))


def test_geometry_is_read_without_voxels(oblique, tmp_path):
    path = write_volume(tmp_path / "scan.nii.gz", oblique)
    grid = read_geometry(path)
    assert grid.shape == oblique.shape
    np.testing.assert_allclose(grid.affine, oblique.affine, atol=1e-5)


def test_missing_file_and_folder_are_named(tmp_path):
    for path, problem in ((tmp_path / "none.nii.gz", "does not exist"), (tmp_path, "no scan")):
        with pytest.raises(ScanError, match=problem) as error:
            read_volume(path)
        assert str(path) in str(error.value)
    with pytest.raises(ScanError, match="is not a folder"):
        list_scans(tmp_path / "none")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("share", [0.4, 0.7, 0.98])
def test_truncated_file_is_explained(tmp_path, suffix, share):
    noise = np.random.default_rng(0).integers(0, 1000, (20, 20, 20)).astype(np.int16)
    path = write_volume(tmp_path / f"scan{suffix}", Volume(noise, np.eye(4)))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ScanError, match="cut short or damaged") as error:
        read_volume(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.nii", b"hello, I am a text file" * 40),
        # No time in it: tests that run in parallel must find the same parameters.
        ("text.nii.gz", gzip.compress(b"hello, I am a text file" * 40, mtime=0)),
        ("plain.nii.gz", b"not even gzip" * 40),
        ("empty.nii", b""),
    ],
)
def test_file_that_is_no_nifti_is_explained(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ScanError) as error:
        read_volume(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)
    assert "not a NIfTI file" in str(error.value) or "damaged" in str(error.value)


def test_other_dimensions_are_refused_and_trailing_ones_dropped(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4, 3), np.uint8), np.eye(4)), tmp_path / "four.nii")
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4, 1), np.uint8), np.eye(4)), tmp_path / "one.nii")
    for read in (read_volume, read_geometry):
        with pytest.raises(ScanError, match="4 dimensions") as error:
            read(tmp_path / "four.nii")
        assert "four.nii" in str(error.value)
        assert read(tmp_path / "one.nii").shape == (4, 4, 4)
    assert read_volume(tmp_path / "four.nii", dimensions=None).shape == (4, 4, 4, 3)


def test_colours_are_refused(tmp_path):
    colours = np.zeros((2, 2, 2), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colours, np.eye(4)), tmp_path / "rgb.nii")
    with pytest.raises(ScanError, match="colours"):
        read_volume(tmp_path / "rgb.nii")


def test_folder_that_cannot_be_made_is_explained(oblique, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MedContextError, match="cannot be written"):
        write_volume(tmp_path / "file" / "scan.nii.gz", oblique)


def test_other_suffix_is_refused(oblique, tmp_path):
    with pytest.raises(MedContextError, match=r"must end in one of \.nii\.gz"):
        write_volume(tmp_path / "scan.png", oblique)


@pytest.mark.parametrize("error", [RuntimeError, OSError, KeyboardInterrupt])
def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "kept.txt"
    path.write_text("old")

    def write() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("ne")
            raise error("no more")

    with pytest.raises(MedContextError if error is OSError else error):
        write()
    assert [file.name for file in tmp_path.iterdir()] == ["kept.txt"]
    assert path.read_text() == "old"


def test_nothing_is_visible_under_the_name_before_it_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_lists_nifti_files_only(tmp_path):
    for name in ("b.nii", "a.NII.GZ", ".hidden.nii", "c.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in list_scans(tmp_path)] == ["a.NII.GZ", "b.nii"]
    assert scan_name(tmp_path / "a.NII.GZ") == "a"
    assert scan_name(tmp_path / "x.1.nii.gz") == "x.1"


def test_file_of_another_name_is_refused_and_named(oblique, tmp_path):
    path = write_volume(tmp_path / "scan.nii", oblique).rename(tmp_path / "scan.mgz")
    for read in (read_volume, read_geometry):
        with pytest.raises(ScanError, match=r"scan\.mgz is no scan by its name.*NIfTI"):
            read(path)
