"""OME-Zarr opens as layers that read what is looked at, and lie where the file says."""

import shutil
from pathlib import Path

import dask.array
import numpy as np
import pytest
import zarr
from napari.layers import Image, Labels, Layer

from napari_medcontext.core.io import read_volume, write_volume
from napari_medcontext.core.volume import Volume
from napari_medcontext.layer_volumes import layer_to_volume, to_source_orientation
from napari_medcontext.reader import get_reader
from napari_medcontext.writer import save_labels

SHAPE = (20, 14, 10)


def oblique(orientation: str) -> Volume:
    array = np.random.default_rng(0).integers(-200, 900, SHAPE).astype(np.int16)
    affine = np.diag([0.7, 0.9, 2.5, 1.0])
    affine[:2, :2] = [[0.68, -0.2], [0.17, 0.88]]
    affine[:3, 3] = (-12.5, 30.0, 7.25)
    return Volume(array, affine, "scan").reoriented(orientation)


def with_levels(path: Path) -> Path:
    """Add a level of half the size to an image."""
    group = zarr.open_group(str(path), mode="r+")
    group.create_array("1", data=group["0"][::2, ::2, ::2])
    ome = group.attrs["ome"]
    datasets = ome["multiscales"][0]["datasets"]
    steps = [dict(step) for step in datasets[0]["coordinateTransformations"]]
    steps[0]["scale"] = [2 * size for size in steps[0]["scale"]]
    datasets.append({"path": "1", "coordinateTransformations": steps})
    group.attrs["ome"] = ome
    return path


def layers_of(path: Path) -> list[Layer]:
    return [Layer.create(*data) for data in get_reader(str(path))(str(path))]


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("orientation", ["RAS", "LPS", "PIR"])
def test_scan_opens_lazily_and_goes_back_to_the_very_voxels(tmp_path, orientation, levels):
    scan = oblique(orientation)
    path = write_volume(tmp_path / "scan.ome.zarr", scan)
    (layer,) = layers_of(with_levels(path) if levels > 1 else path)
    assert isinstance(layer, Image)
    assert layer.multiscale == (levels > 1)
    data = layer.data[0] if levels > 1 else layer.data
    assert isinstance(data, dask.array.Array)
    nifti = write_volume(tmp_path / "scan.nii", scan)
    (eager,) = layers_of(nifti)
    np.testing.assert_array_equal(np.asarray(data), eager.data)
    for corner in ((0, 0, 0), (3, 5, 7)):
        np.testing.assert_allclose(
            layer.data_to_world(corner), eager.data_to_world(corner), atol=1e-4
        )
    np.testing.assert_allclose(
        layer_to_volume(layer).affine, layer_to_volume(eager).affine, atol=1e-4
    )
    again = to_source_orientation(layer)
    np.testing.assert_array_equal(again.array, scan.array)
    np.testing.assert_allclose(again.affine, scan.affine, atol=1e-9)


def test_labels_open_without_a_chunk_being_read_and_keep_their_names(tmp_path):
    names = {2: "liver", 5: "spleen"}
    scan = oblique("LPS")
    labels = scan.with_array((scan.array > 500).astype(np.uint8) * 5, class_names=names)
    path = write_volume(tmp_path / "scan.ome.zarr", labels)
    chunks = tmp_path / "elsewhere"
    shutil.move(path / "0" / "c", chunks)
    (path / "0" / "c").write_text("no folder of chunks")
    (layer,) = layers_of(path)
    assert isinstance(layer.data, dask.array.Array)
    (path / "0" / "c").unlink()
    shutil.move(chunks, path / "0" / "c")
    assert isinstance(layer, Labels)
    assert list(layer.features["class"]) == ["liver", "spleen"]
    saved = read_volume(save_labels(tmp_path / "saved.nii.gz", layer))
    np.testing.assert_array_equal(saved.array, labels.array)
    np.testing.assert_allclose(saved.affine, labels.affine, atol=1e-4)


def test_scan_opens_with_the_organs_that_it_brings_along(tmp_path):
    scan = oblique("RAS")
    path = write_volume(tmp_path / "scan.ome.zarr", scan)
    zarr.create_group(str(path / "labels"), attributes={"ome": {"labels": ["organs"]}})
    organs = scan.with_array((scan.array > 0).astype(np.uint8))
    shutil.move(write_volume(tmp_path / "organs.zarr", organs), path / "labels" / "organs")
    image, labels = layers_of(path)
    assert (image.name, labels.name) == ("scan", "scan organs labels")
    assert isinstance(labels, Labels)


def test_folder_of_both_formats_opens_as_one_study(tmp_path):
    scan = oblique("RAS")
    for name in ("a.ome.zarr", "b.nii.gz"):
        write_volume(tmp_path / name, scan)
    assert [layer.name for layer in layers_of(tmp_path)] == ["a", "b"]
