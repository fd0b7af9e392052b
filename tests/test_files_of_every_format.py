"""Scans of every file format go the whole way: into a window, a training, a prediction, and out."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_files import COLUMN_SPACING, ROW_SPACING, STEP, write_series
from napari.layers import Labels
from typer.testing import CliRunner

from napari_medcontext.cli import app
from napari_medcontext.core.io import list_scans, read_volume, write_volume
from napari_medcontext.reader import get_reader
from napari_medcontext.writer import save_labels

MIXED = {
    "ras": (".nrrd", ".seg.nrrd"),
    "lps": (".mha", ".ome.zarr"),
    "thick": (".ome.zarr", ".mha"),
}


@pytest.fixture
def mixed_spec(tiny_spec, tmp_path):
    """The tiny study, each scan and its labels in another format."""

    def again(path: Path, folder: str, suffix: str) -> Path:
        name = path.name.removesuffix(".nii.gz") + suffix
        return write_volume(tmp_path / folder / name, read_volume(path))

    cases = []
    for case in tiny_spec.cases:
        image, labels = MIXED[case.name]
        files = {
            "image": again(case.image, "images", image),
            "labels": again(case.labels, "labels", labels),
        }
        cases.append(case.model_copy(update=files))
    return tiny_spec.model_copy(update={"cases": tuple(cases)})


def test_study_of_mixed_formats_is_prepared_like_its_nifti(tiny_spec, mixed_spec, loaded):
    expected, found = loaded(tiny_spec)[0], loaded(mixed_spec)[0]
    assert found.classes.names == expected.classes.names
    for one, other in zip(
        [*expected.training, *expected.validation],
        [*found.training, *found.validation],
        strict=True,
    ):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_allclose(one.affine, other.affine, atol=1e-4)


def test_folder_of_series_is_predicted_onto_the_slices(finished_run, tmp_path):
    for name in ("patient 1", "patient 2"):
        (tmp_path / "scans").mkdir(exist_ok=True)
        write_series(tmp_path / "scans" / name)
    words = ["predict", finished_run.path, tmp_path / "scans", "--out", tmp_path / "out"]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    written = list_scans(tmp_path / "out")
    assert [path.name for path in written] == ["patient 1.nii.gz", "patient 2.nii.gz"]
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "scans" / "patient 1"))
    theirs, ours = sitk.ReadImage(files), sitk.ReadImage(str(written[0]))
    assert ours.GetSize() == theirs.GetSize()
    for corner in ((0, 0, 0), (4, 0, 0), (0, 6, 0), (4, 6, 5)):
        np.testing.assert_allclose(
            ours.TransformIndexToPhysicalPoint(corner),
            theirs.TransformIndexToPhysicalPoint(corner),
            atol=1e-3,
        )


def test_each_series_of_a_folder_becomes_a_layer(tmp_path):
    write_series(tmp_path / "study", names="a{}.dcm", series="1.2.3")
    write_series(tmp_path / "study", names="b{}.dcm", series="1.2.4")
    layers = get_reader(str(tmp_path / "study"))(str(tmp_path / "study"))
    assert sorted(attributes["name"] for _, attributes, _ in layers) == [
        "series 1.2.3",
        "series 1.2.4",
    ]
    assert {kind for _, _, kind in layers} == {"image"}
    scales = sorted(np.abs(layers[0][1]["scale"]))
    assert scales == pytest.approx([COLUMN_SPACING, ROW_SPACING, STEP])


def test_labels_are_saved_as_a_slicer_segmentation_and_open_with_their_names(study, tmp_path):
    (path,) = [path for path in list_scans(study / "labels") if path.name.startswith("lps")]
    ((data, attributes, _),) = get_reader(str(path))(str(path))
    saved = save_labels(tmp_path / "organs.seg.nrrd", Labels(data, **attributes))
    again = read_volume(saved)
    original = read_volume(path)
    assert again.class_names == original.class_names
    np.testing.assert_array_equal(again.array, original.array)
    np.testing.assert_allclose(again.affine, original.affine, atol=1e-4)
    ((_, shown, kind),) = get_reader(str(saved))(str(saved))
    assert kind == "labels"
    assert "liver" in list(shown["features"]["class"])


def test_prediction_becomes_a_segmentation_of_slicer_on_request(finished_run, study, tmp_path):
    scans = [path for path in list_scans(study / "images") if path.name.startswith("thick")]
    for form, ending in (("nrrd", ".seg.nrrd"), ("nifti", ".nii.gz")):
        words = ["predict", finished_run.path, *scans, "--out", tmp_path, "--format", form]
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.output
        assert (tmp_path / f"thick{ending}").is_file()
    nrrd, nifti = (read_volume(tmp_path / f"thick{ending}") for ending in (".seg.nrrd", ".nii.gz"))
    np.testing.assert_array_equal(nrrd.array, nifti.array)
    np.testing.assert_allclose(nrrd.affine, nifti.affine, atol=1e-4)
    header = sitk.ReadImage(str(tmp_path / "thick.seg.nrrd"))
    keys = {key for key in header.GetMetaDataKeys() if key.startswith("Segment0_")}
    assert {"Segment0_Name", "Segment0_Color", "Segment0_LabelValue"} <= keys
