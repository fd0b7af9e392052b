"""Files and folders open as the right layers, and broken ones say what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import dask.array
import nibabel as nib
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from npe2 import PluginManager

from napari_medcontext import lazy_study
from napari_medcontext.core.errors import MedContextError, ScanError
from napari_medcontext.core.io import write_volume
from napari_medcontext.core.volume import Volume
from napari_medcontext.layer_volumes import layer_to_volume
from napari_medcontext.reader import get_reader, read

SHAPE = (12, 10, 8)
LPS = np.diag([-1.0, -1.0, 2.5, 1.0])
REAL_DATA = Path(__file__).parents[2] / "shared" / "data"


def save(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, LPS), path)
    return path


def intensities(dtype: type = np.float32, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return (np.random.default_rng(1).normal(100, 30, shape)).astype(dtype)


def organs(dtype: type = np.uint8) -> np.ndarray:
    array = np.zeros(SHAPE, dtype)
    array[2:6, 2:6, 2:6], array[7:11, 3:8, 2:7] = 1, 4
    return array


def opened(path: str | list[str]) -> list[tuple[str, str]]:
    reader = get_reader(path)
    assert reader is not None
    return [(attributes["name"], kind) for _, attributes, kind in reader(path)]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    for part, cases in {"Tr": (1, 2), "Ts": (3,)}.items():
        for case in cases:
            save(tmp_path / f"images{part}" / f"la_{case:03}.nii.gz", intensities())
            save(tmp_path / f"labels{part}" / f"la_{case:03}.nii.gz", organs())
    save(tmp_path / "imagesUn" / "la_004.nii.gz", intensities())
    return tmp_path


STUDY_ORDER = [
    ("la_001", "image"),
    ("la_001 labels", "labels"),
    ("la_002", "image"),
    ("la_002 labels", "labels"),
    ("la_003", "image"),
    ("la_003 labels", "labels"),
    ("la_004", "image"),
]


@pytest.mark.parametrize("name", ["a.txt", "a.dcm", "a.gz"])
def test_other_files_are_left_to_other_readers(tmp_path, name):
    (tmp_path / name).write_text("")
    assert get_reader(str(tmp_path / name)) is None
    assert get_reader([str(tmp_path / "b.nii"), str(tmp_path / name)]) is None


def test_folder_without_scans_is_left_to_other_readers(tmp_path):
    assert get_reader(str(tmp_path)) is None


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".NII.GZ"])
def test_scan_opens_with_its_spacing_and_path(tmp_path, suffix):
    path = tmp_path / "ct.nii.gz"
    save(path.with_name("ct" + suffix.lower()), intensities()).rename(tmp_path / f"ct{suffix}")
    path = tmp_path / f"ct{suffix}"
    ((data, attributes, kind),) = read(str(path))
    assert (attributes["name"], kind, data.shape) == ("ct", "image", SHAPE[::-1])
    assert attributes["scale"] == (2.5, 1.0, 1.0)
    assert attributes["metadata"]["medcontext"]["path"] == str(path)
    assert attributes["metadata"]["medcontext"]["source_orientation"] == "LPS"


@pytest.mark.parametrize(
    ("name", "array", "kind"),
    [
        ("ct.nii", intensities(np.int16), "image"),
        ("noise.nii", np.random.default_rng(0).integers(0, 20, SHAPE, np.uint8), "image"),
        ("organs.nii", organs(), "labels"),
        ("organs.nii", organs(np.int16), "labels"),
        ("organs.nii", organs(np.float32), "image"),
        ("case_label.nii", organs(np.float32), "labels"),
        ("case_label.nii", organs(np.float32) / 2, "image"),
        ("mask/case.nii", organs(np.float64), "labels"),
        ("case_label.nii", organs(np.int16) - 1, "image"),
        ("case_seg.nii", np.arange(960, dtype=np.int16).reshape(SHAPE), "image"),
        ("labels/case.nii", np.full(SHAPE, np.nan, np.float32), "image"),
    ],
    ids=lambda value: str(value.dtype) if isinstance(value, np.ndarray) else value,
)
def test_labels_are_told_from_scans_by_name_and_voxels(tmp_path, name, array, kind):
    assert opened(str(save(tmp_path / "x" / name, array)))[0][1] == kind


def test_scan_and_labels_of_the_same_file_name_get_different_layer_names(study):
    paths = [str(study / part / "la_001.nii.gz") for part in ("imagesTr", "labelsTr")]
    assert opened(paths) == STUDY_ORDER[:2]


def test_scans_of_the_same_file_name_are_told_apart_by_their_folders(tmp_path):
    paths = [str(save(tmp_path / part / "ct.nii", intensities())) for part in ("anna", "bert")]
    assert [name for name, _ in opened(paths)] == ["ct (anna)", "ct (bert)"]


def test_channels_of_a_4d_file_open_as_one_layer_each(tmp_path):
    array = intensities(shape=(*SHAPE, 2))
    layers = read(str(save(tmp_path / "brain.nii.gz", array)))
    assert [attributes["name"] for _, attributes, _ in layers] == ["brain [0]", "brain [1]"]
    for channel, (data, _, _) in enumerate(layers):
        # LPS turned to feet, back, left: axes swapped, all but the first run as stored.
        np.testing.assert_array_equal(data, array[..., channel].T[::-1])


@pytest.mark.parametrize("shape", [(12, 10), (12, 10, 1), (12, 10, 8, 1), (12, 10, 8, 1, 1)])
def test_axes_of_length_one_are_no_channels(tmp_path, shape):
    ((data, attributes, _),) = read(str(save(tmp_path / "ct.nii", intensities(shape=shape))))
    assert data.ndim == 3
    assert attributes["name"] == "ct"


def test_decathlon_study_opens_in_pairs_with_class_names_training_cases_first(study):
    cases = {part: [] for part in ("training", "test")}
    for part, short, numbers in (("test", "Ts", [3]), ("training", "Tr", [1, 2])):
        for number in numbers:
            name = f"la_{number:03}.nii.gz"
            cases[part].append(
                {"image": f"./images{short}/{name}", "label": f"labels{short}/{name}"}
            )
    labels = {"0": "background", "1": "wall", "4": "blood"}
    text = {"labels": labels, "unlabeled": ["imagesUn/la_004.nii.gz"], **cases}
    (study / "dataset.json").write_text(json.dumps(text))
    assert opened(str(study)) == STUDY_ORDER
    attributes = read(str(study))[1][1]
    assert attributes["metadata"]["medcontext"]["class_names"][4] == "blood"
    assert list(attributes["features"]["class"]) == ["wall", "blood"]


def test_folder_of_images_and_labels_folders_opens_in_pairs(study):
    assert opened(str(study)) == STUDY_ORDER


@pytest.fixture
def large(study, monkeypatch):
    """The study, with a scan of two channels, for one to whom it is too large."""
    both = intensities(np.int16, (*SHAPE, 2))
    save(study / "imagesUn" / "la_005.nii.gz", both)
    monkeypatch.setattr(lazy_study, "HELD_BYTES", 4 * 5 * np.prod(SHAPE))
    return study


def test_scans_of_a_large_study_are_read_when_they_are_looked_at(large, monkeypatch):
    read_files = []
    whole = lazy_study.read_volume

    def noted(path, **kwargs):
        read_files.append(path.name)
        return whole(path, **kwargs)

    monkeypatch.setattr(lazy_study, "read_volume", noted)
    lazily = read(str(large))
    # The second channel of la_005 is the first of its place.
    assert read_files == ["la_001.nii.gz", "la_005.nii.gz"]
    monkeypatch.setattr(lazy_study, "HELD_BYTES", 2**30)
    eagerly = read(str(large))
    assert len(lazily) == len(eagerly) == 9
    for (data, attributes, kind), (expected, known, other) in zip(lazily, eagerly, strict=True):
        assert (kind, attributes["name"]) == (other, known["name"])
        assert isinstance(data, dask.array.Array) == (kind == "image")
        np.testing.assert_array_equal(np.asarray(data), expected)
        for key in ("scale", "translate"):
            np.testing.assert_array_equal(attributes[key], known[key])
        noted_, own = (each["metadata"]["medcontext"] for each in (attributes, known))
        np.testing.assert_array_equal(noted_["affine"], own["affine"])
        np.testing.assert_array_equal(noted_["source_affine"], own["source_affine"])
    assert [attributes.get("visible", True) for _, attributes, _ in lazily] == [True] * 2 + [
        False
    ] * 7


def test_scan_of_a_large_study_that_is_gone_is_told(large):
    layers = [Layer.create(*each) for each in read(str(large))]
    (large / "imagesTr" / "la_002.nii.gz").unlink()
    second = next(layer for layer in layers if layer.name == "la_002")
    assert layer_to_volume(layers[0]).array.shape == SHAPE[::-1]
    with pytest.raises(ScanError, match=r"la_002\.nii\.gz, which is not there any more"):
        layer_to_volume(second)


def test_voxels_of_a_large_study_are_not_shown_where_others_were_opened(large):
    data, _, _ = next(each for each in read(str(large)) if each[1]["name"] == "la_002")
    path = large / "imagesTr" / "la_002.nii.gz"
    nib.save(nib.Nifti1Image(intensities(), np.diag([-1.0, -1.0, 2.0, 1.0])), path)
    with pytest.raises(ScanError, match="was changed since it was opened"):
        np.asarray(data)


def test_scan_of_a_large_study_that_was_never_there_is_told_so(large):
    text = {"labels": {"1": "wall"}, "training": ["imagesTr/la_001.nii.gz", "imagesTr/no.nii.gz"]}
    (large / "dataset.json").write_text(json.dumps(text))
    with pytest.raises(ScanError, match=r"no\.nii\.gz does not exist"):
        read(str(large))


def test_file_that_is_cut_in_a_large_study_is_told_by_name(large):
    path = large / "imagesTr" / "la_002.nii.gz"
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ScanError, match=r"la_002\.nii\.gz"):
        read(str(large))


def test_folder_of_files_opens_them_all(tmp_path):
    save(tmp_path / "b.nii.gz", intensities())
    save(tmp_path / "b_seg.nii.gz", organs())
    (tmp_path / "._b.nii.gz").write_bytes(b"left by a file manager")
    assert opened(str(tmp_path)) == [("b", "image"), ("b_seg", "labels")]


def test_class_names_written_with_the_labels_are_read_back(tmp_path):
    names = {1: "wall", 4: "blood"}
    path = write_volume(tmp_path / "x.nii.gz", Volume(organs(), LPS, "x", names))
    ((_, attributes, kind),) = read(str(path))
    assert kind == "labels"
    assert attributes["metadata"]["medcontext"]["class_names"] == names


def test_cut_file_is_refused_by_name(tmp_path):
    path = save(tmp_path / "cut.nii.gz", intensities())
    path.write_bytes(path.read_bytes()[:800])
    with pytest.raises(MedContextError, match=r"cut\.nii\.gz"):
        read(str(path))


def test_file_that_is_no_nifti_is_refused_by_name_when_opened_in_napari(tmp_path):
    PluginManager.instance().discover()
    (tmp_path / "text.nii").write_text("no scan" * 100)
    viewer = ViewerModel()
    with pytest.raises(MedContextError, match=r"text\.nii"):
        viewer.open(str(tmp_path / "text.nii"), plugin="napari-medcontext")
    assert len(viewer.layers) == 0


@pytest.mark.parametrize("text", ["{", "[]", '{"training": [{}]}', '{"training": 3}'])
def test_dataset_file_of_another_form_is_refused_by_name(tmp_path, text):
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(ScanError, match=r"dataset\.json"):
        read(str(tmp_path))


@pytest.mark.realdata
@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="no real volumes beside the checkout")
def test_real_labels_stored_as_floats_open_as_labels():
    kinds = dict(opened(str(REAL_DATA / "brain_tumour")))
    assert {name for name, kind in kinds.items() if kind == "labels"} == {
        "case_01_label",
        "case_02_label",
    }
