import json
from itertools import pairwise

import nibabel as nib
import numpy as np
import pytest

from napari_medcontext.core import phantom
from napari_medcontext.core.io import read_volume
from napari_medcontext.core.phantom import CLASS_NAMES, make_abdomen, make_study, write_study
from napari_medcontext.core.volume import same_grid

SMALL = {"shape": (76, 66, 40), "spacing": (4.0, 4.0, 7.0)}
IDS = {name: class_id for class_id, name in CLASS_NAMES.items()}
SEEDS = range(3)


@pytest.fixture(scope="module")
def small_abdomens():
    return [make_abdomen(seed, **SMALL) for seed in SEEDS]


@pytest.fixture(scope="module")
def whole_abdomen():
    return make_abdomen(3)


def centroid(labels, name):
    """Mean position of an organ in RAS+ millimetres: right, anterior, superior."""
    voxels = np.argwhere(labels.array == IDS[name])
    return nib.affines.apply_affine(labels.affine, voxels).mean(axis=0)


def test_one_seed_gives_one_scan(small_abdomens):
    image, labels = make_abdomen(1, **SMALL)
    np.testing.assert_array_equal(image.array, small_abdomens[1][0].array)
    np.testing.assert_array_equal(labels.array, small_abdomens[1][1].array)
    np.testing.assert_array_equal(image.affine, small_abdomens[1][0].affine)


def test_other_seeds_give_other_anatomy(small_abdomens):
    labels = [labels.reoriented("RAS").array for _, labels in small_abdomens]
    for first, second in pairwise(labels):
        organs = (first > 0) | (second > 0)
        assert (first != second)[organs].mean() > 0.1


def test_image_and_labels_share_a_grid_and_have_the_smallest_fitting_types(small_abdomens):
    for image, labels in small_abdomens:
        assert same_grid(image, labels)
        assert image.shape == SMALL["shape"]
        np.testing.assert_allclose(image.spacing, SMALL["spacing"])
        assert (image.array.dtype, labels.array.dtype) == (np.int16, np.uint8)
        assert labels.class_names == CLASS_NAMES


def test_every_organ_of_an_ordinary_scan_has_at_least_150_voxels(whole_abdomen):
    counts = np.bincount(whole_abdomen[1].array.ravel(), minlength=len(CLASS_NAMES) + 1)
    assert len(counts) == len(CLASS_NAMES) + 1
    assert counts[1:].min() >= 150


def test_every_organ_is_there_in_a_coarse_scan_too(small_abdomens):
    for _, labels in small_abdomens:
        assert set(np.unique(labels.array)) == {0, *CLASS_NAMES}


def test_organs_lie_in_anatomical_order_in_world_coordinates(small_abdomens):
    for _, labels in small_abdomens:
        at = {name: centroid(labels, name) for name in IDS}
        right = {name: position[0] for name, position in at.items()}
        assert right["liver"] > right["stomach"] > right["spleen"]
        assert right["right kidney"] > right["aorta"] > right["left kidney"]
        assert right["gallbladder"] > right["aorta"]
        assert at["stomach"][1] > at["spleen"][1]
        assert at["pancreas"][1] > at["aorta"][1] > at["left kidney"][1]
        assert at["liver"][2] > at["gallbladder"][2]
        assert at["spleen"][2] > at["left kidney"][2]


def test_study_comes_in_both_orientations():
    study = [make_abdomen(seed, shape=(8, 8, 8)) for seed in range(6)]
    assert {image.orientation for image, _ in study} == {"RAS", "LPS"}


def test_a_field_of_view_beyond_the_body_shows_air():
    image, labels = make_abdomen(0, shape=(30, 30, 12), spacing=(20.0, 20.0, 60.0))
    rim = np.ones(image.shape, dtype=bool)
    rim[3:-3, 3:-3] = False
    assert image.array[rim].max() < -900
    assert not labels.array[rim].any()


def test_kidneys_enhance_alike_and_the_spleen_nearly_as_the_liver(whole_abdomen):
    image, labels = whole_abdomen
    median = {name: np.median(image.array[labels.array == IDS[name]]) for name in IDS}
    assert abs(median["right kidney"] - median["left kidney"]) < 8
    assert abs(median["spleen"] - median["liver"]) < 20
    assert median["left kidney"] - median["liver"] > 25


def test_unlabelled_tissue_looks_like_organs(whole_abdomen):
    image, labels = whole_abdomen
    soft = image.array[(labels.array == 0) & (image.array > 0)]
    for name in ("spleen", "left kidney", "stomach"):
        organ = image.array[labels.array == IDS[name]]
        low, high = np.quantile(organ, (0.4, 0.6))
        assert ((soft >= low) & (soft <= high)).sum() > 0.2 * organ.size


def test_noise_is_correlated_within_the_slice(whole_abdomen):
    image, labels = (volume.reoriented("RAS").array for volume in whole_abdomen)
    liver = labels == IDS["liver"]
    values = image - image[liver].mean()
    pairs = liver[1:] & liver[:-1]
    correlation = np.corrcoef(values[1:][pairs], values[:-1][pairs])[0, 1]
    assert 0.2 < correlation < 0.95
    assert 5 < image[liver].std() < 40


def test_a_written_study_reads_back_on_the_same_grids(tmp_path, monkeypatch):
    monkeypatch.setattr(phantom, "SHAPE", (20, 18, 12))
    path = write_study(tmp_path / "study", count=6, seed=5)
    description = json.loads(path.read_text(encoding="utf-8"))
    assert description["labels"]["0"] == "background"
    assert {int(k): name for k, name in description["labels"].items() if k != "0"} == CLASS_NAMES
    assert (len(description["training"]), len(description["test"])) == (4, 2)
    entries = description["training"] + description["test"]
    for entry, (image, labels) in zip(entries, make_study(6, seed=5), strict=True):
        read_image, read_labels = (read_volume(path.parent / entry[k]) for k in ("image", "label"))
        np.testing.assert_array_equal(read_image.array, image.array)
        np.testing.assert_array_equal(read_labels.array, labels.array)
        np.testing.assert_allclose(read_image.affine, image.affine, atol=1e-4)
        np.testing.assert_allclose(read_labels.affine, image.affine, atol=1e-4)
        assert read_labels.class_names == CLASS_NAMES


def test_study_names_its_scans_and_varies_their_grids(monkeypatch):
    monkeypatch.setattr(phantom, "SHAPE", (8, 8, 8))
    study = make_study(3)
    assert [image.name for image, _ in study] == ["abdomen 1", "abdomen 2", "abdomen 3"]
    assert study[0][1].name == "abdomen 1 organs"
    assert len({image.spacing for image, _ in study}) == 3
