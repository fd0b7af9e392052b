"""Whatever the file format, a voxel keeps its place in the patient; others' libraries agree."""

import sys

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from napari_medcontext.core.errors import MedContextError, ScanError
from napari_medcontext.core.formats import scan_name
from napari_medcontext.core.io import list_scans, read_geometry, read_volume, write_volume
from napari_medcontext.core.volume import Volume

SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".seg.nrrd", ".mha", ".ome.zarr")
ORIENTATIONS = ("RAS", "LPS", "LAS", "PIR", "SAR", "ASL")
SPACINGS = ((1.0, 1.0, 1.0), (0.7, 0.8, 5.0), (4.0, 0.5, 0.5))
MARKED = (1, 6, 2)
TOLERANCE_MM = 1e-3


def turned(degrees: float) -> np.ndarray:
    """Return a rotation about an oblique axis."""
    axis = np.array([1.0, 2.0, 3.0]) / np.sqrt(14)
    cross = np.cross(np.eye(3), axis)
    angle = np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def marked_scan(orientation: str, spacing: tuple[float, float, float], degrees: float) -> Volume:
    """Return a scan of zeros but for one voxel near a corner."""
    shape = (9, 8, 5)
    array = np.zeros(shape, np.int16)
    array[MARKED] = 1000
    affine = np.eye(4)
    affine[:3, :3] = turned(degrees) @ np.diag(spacing)
    affine[:3, 3] = (-31.5, 12.25, 87.125)
    return Volume(array, affine, "scan").reoriented(orientation)


def place_of_mark(volume: Volume) -> np.ndarray:
    (voxel,) = np.argwhere(volume.array == volume.array.max())
    return (volume.affine @ [*voxel, 1])[:3]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("degrees", [0.0, 17.0])
@pytest.mark.parametrize("spacing", SPACINGS)
def test_marked_voxel_keeps_its_place_in_every_format(
    tmp_path, suffix, orientation, spacing, degrees
):
    scan = marked_scan(orientation, spacing, degrees)
    path = write_volume(tmp_path / f"scan{suffix}", scan)
    again, grid = read_volume(path), read_geometry(path)
    np.testing.assert_array_equal(again.array, scan.array)
    for volume in (again, grid.with_array(again.array)):
        assert np.abs(place_of_mark(volume) - place_of_mark(scan)).max() < TOLERANCE_MM
    if suffix == ".ome.zarr":
        return  # Other libraries read it, but none knows where RFC-4 puts a voxel.
    theirs = sitk.ReadImage(str(path))
    voxel = np.argwhere(sitk.GetArrayFromImage(theirs).T == 1000)[0]
    lps = theirs.TransformIndexToPhysicalPoint(voxel.tolist())
    assert np.abs(place_of_mark(scan) * (-1, -1, 1) - lps).max() < TOLERANCE_MM


def test_shear_stays_in_formats_that_can_hold_it(tmp_path):
    scan = marked_scan("RAS", (1.0, 1.0, 3.0), 0.0)
    scan.affine[:3, 2] += (0.0, 0.6, 0.0)
    for suffix in (".nii.gz", ".nrrd", ".mha"):
        again = read_volume(write_volume(tmp_path / f"scan{suffix}", scan))
        np.testing.assert_allclose(again.affine, scan.affine, atol=1e-4)


@pytest.mark.parametrize("kind", [nib.Nifti2Image, nib.Nifti1Pair])
def test_other_kinds_of_nifti_are_read(tmp_path, kind):
    scan = marked_scan("LPS", (0.7, 0.8, 5.0), 17.0)
    suffix = ".hdr" if kind is nib.Nifti1Pair else ".nii"
    nib.save(kind(scan.array, scan.affine), tmp_path / f"scan{suffix}")
    assert [path.suffix for path in list_scans(tmp_path)] == [suffix]
    again = read_volume(tmp_path / f"scan{suffix}")
    np.testing.assert_array_equal(again.array, scan.array)
    np.testing.assert_allclose(again.affine, scan.affine, atol=1e-5)


def test_analyze_is_refused_since_it_knows_no_left_and_right(tmp_path):
    nib.save(nib.Spm2AnalyzeImage(np.zeros((4, 4, 4), np.int16), np.eye(4)), tmp_path / "scan.img")
    with pytest.raises(ScanError, match="Analyze"):
        read_volume(tmp_path / "scan.hdr")


def test_class_names_travel_in_a_slicer_segmentation(tmp_path):
    array = np.zeros((4, 5, 6), np.uint8)
    array[1:3], array[3] = 2, 7
    names = {2: "liver", 7: "right kidney"}
    labels = Volume(array, np.eye(4), class_names=names)
    path = write_volume(tmp_path / "organs.seg.nrrd", labels)
    assert read_volume(path).class_names == names
    assert scan_name(path) == "organs"
    header = sitk.ReadImage(str(path))
    assert header.GetMetaData("Segment1_Name") == "right kidney"
    assert header.GetMetaData("Segment1_LabelValue") == "7"
    assert header.GetPixelID() == sitk.sitkUInt8


def test_overlapping_segments_are_refused(tmp_path):
    image = sitk.GetImageFromArray(np.zeros((3, 4, 5), np.uint8))
    for number, layer in enumerate("01"):
        image.SetMetaData(f"Segment{number}_ID", f"s{number}")
        image.SetMetaData(f"Segment{number}_Layer", layer)
    sitk.WriteImage(image, str(tmp_path / "organs.seg.nrrd"))
    with pytest.raises(ScanError, match=r"organs\.seg\.nrrd holds overlapping segments.*labelmap"):
        read_volume(tmp_path / "organs.seg.nrrd")


def test_channels_come_last_and_are_told(tmp_path):
    array = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5, 2)
    image = sitk.GetImageFromArray(array, isVector=True)
    sitk.WriteImage(image, str(tmp_path / "scan.nrrd"))
    volume = read_volume(tmp_path / "scan.nrrd", dimensions=None)
    assert volume.shape == (5, 4, 3, 2)
    assert volume.array[4, 3, 2, 1] == array[2, 3, 4, 1]
    with pytest.raises(ScanError, match="4 dimensions"):
        read_volume(tmp_path / "scan.nrrd")
    with pytest.raises(ScanError, match="4 dimensions"):
        read_geometry(tmp_path / "scan.nrrd")


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_file_that_is_cut_short_is_named(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 99, (20, 20, 20)).astype(np.int16)
    path = write_volume(tmp_path / f"scan{suffix}", Volume(noise, np.eye(4)))
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(ScanError, match=rf"scan\{suffix} cannot be read"):
        read_volume(path)


def test_header_without_its_voxels_is_named(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((3, 4, 5))), str(tmp_path / "scan.mhd"))
    (tmp_path / "scan.raw").unlink()
    with pytest.raises(ScanError, match=r"scan\.mhd cannot be read"):
        read_volume(tmp_path / "scan.mhd")


def test_missing_library_says_what_to_install(tmp_path, monkeypatch):
    path = write_volume(tmp_path / "scan.nrrd", Volume(np.zeros((3, 3, 3), np.int16), np.eye(4)))
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(MedContextError, match=r"napari-medcontext\[formats\]"):
        read_volume(path)
