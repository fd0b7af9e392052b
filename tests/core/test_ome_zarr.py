"""OME-Zarr of any version is read where it lies; what it leaves open is told to the user."""

import shutil
import sys

import numpy as np
import pytest
import zarr
from test_formats import marked_scan

from napari_medcontext.core.errors import MedContextError, ScanError, ScanWarning
from napari_medcontext.core.formats import says_where, scan_name
from napari_medcontext.core.formats.ngff import ORIENTATIONS
from napari_medcontext.core.formats.ome_zarr import label_images
from napari_medcontext.core.io import list_scans, read_geometry, read_volume, write_volume
from napari_medcontext.core.volume import Volume

ARRAY = np.arange(2 * 3 * 4 * 5, dtype=np.int16).reshape(2, 3, 4, 5)


def axis(name, letter=None, unit="micrometer"):
    """Return what NGFF 0.4 says of an axis, with RFC-4's word for a direction."""
    kind = {"t": "time", "c": "channel"}.get(name, "space")
    found = {"name": name, "type": kind}
    if kind == "space" and unit:
        found["unit"] = unit
    if letter:
        found["orientation"] = {"type": "anatomical", "value": ORIENTATIONS[letter]}
    return found


def foreign_image(path, array, axes, *, version="0.4", transforms=None, more=None, **extra):
    """Write an image as another program would, with all of its metadata as given."""
    steps = transforms or [{"type": "scale", "scale": [1.0] * len(axes)}]
    multiscale = {
        "axes": axes,
        "version": version,
        "datasets": [{"path": "s0", "coordinateTransformations": steps}],
        **(more or {}),
    }
    attributes = {"multiscales": [multiscale], **extra}
    if version == "0.5":
        attributes = {"ome": {"version": "0.5", **attributes}}
    group = zarr.create_group(
        store=str(path), zarr_format=3 if version == "0.5" else 2, attributes=attributes
    )
    group.create_array("s0", data=array, chunks=(2,) * array.ndim)
    return path


PLACED = [axis(name, letter) for name, letter in zip("zyx", "SAR", strict=True)]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_axes_units_and_both_levels_of_transforms_say_where_voxels_lie(tmp_path, version):
    path = foreign_image(
        tmp_path / "scan.ome.zarr",
        ARRAY[None],
        [axis("t"), axis("c"), axis("z", "I"), axis("y", "A"), axis("x", "L")],
        version=version,
        transforms=[
            {"type": "scale", "scale": [1, 1, 1000, 500, 250]},
            {"type": "translation", "translation": [0, 0, 3000, 2000, 1000]},
        ],
        more={"coordinateTransformations": [{"type": "scale", "scale": [1, 1, 2, 2, 2]}]},
    )
    volume = read_volume(path, dimensions=None)
    np.testing.assert_array_equal(volume.array, ARRAY.transpose(3, 2, 1, 0))
    # 0.25 mm doubled, towards the left; coordinates are those of the axes, not of the patient.
    expected = [[-0.5, 0, 0, -2], [0, 1, 0, 4], [0, 0, -2, -6], [0, 0, 0, 1]]
    np.testing.assert_allclose(volume.affine, expected, atol=1e-9)
    assert says_where(path)
    assert read_geometry(path, channels=True).shape == (5, 4, 3)
    with pytest.raises(ScanError, match="4 dimensions"):
        read_volume(path)


def test_file_without_orientation_is_read_as_itk_would_and_the_user_is_told(tmp_path):
    path = foreign_image(tmp_path / "scan.zarr", ARRAY[0], [axis("z"), axis("y"), axis("x")])
    with pytest.warns(ScanWarning, match=r"scan\.zarr does not say how the scan lies"):
        volume = read_volume(path)
    assert volume.orientation == "LPS"
    assert volume.spacing == pytest.approx((0.001,) * 3)
    assert not says_where(path)


def test_file_without_units_counts_as_millimetres_and_the_user_is_told(tmp_path):
    axes = [axis("z", "S", unit=None), *PLACED[1:]]
    path = foreign_image(tmp_path / "scan.zarr", ARRAY[0], axes)
    with pytest.warns(ScanWarning, match="names no unit of its axis"):
        assert read_geometry(path).spacing == pytest.approx((0.001, 0.001, 1.0))


UNREADABLE = {
    "time points": (ARRAY, [axis("t"), *PLACED], {}, r"has 2 time points"),
    "slice": (ARRAY[0, 0], PLACED[1:], {}, r"2 axes of space"),
    "unit": (ARRAY[0], [axis("z", "S", "furlong"), *PLACED[1:]], {}, "furlong"),
    "turned": (
        ARRAY[0],
        PLACED,
        {"transforms": [{"type": "affine", "affine": np.eye(4).tolist()}]},
        "places its voxels by “affine”",
    ),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_image_that_is_no_one_volume_is_refused_by_name(tmp_path, what):
    array, axes, changes, message = UNREADABLE[what]
    path = foreign_image(tmp_path / "odd.ome.zarr", array, axes, **changes)
    with pytest.raises(ScanError, match=rf"odd\.ome\.zarr .*{message}"):
        read_volume(path)


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "PIR", "ASL"])
def test_metadata_of_the_standard_alone_place_what_is_written(tmp_path, orientation):
    scan = marked_scan(orientation, (0.7, 0.8, 5.0), 0.0)
    path = write_volume(tmp_path / "scan.ome.zarr", scan)
    group = zarr.open_group(str(path), mode="r+")
    del group.attrs["napari-medcontext"]
    np.testing.assert_allclose(read_geometry(path).affine, scan.affine, atol=1e-9)


def test_copy_that_was_thinned_out_is_not_placed_by_the_affine_of_the_original(tmp_path):
    scan = marked_scan("LAS", (0.7, 0.8, 5.0), 17.0)
    path = write_volume(tmp_path / "scan.ome.zarr", scan)
    group = zarr.open_group(str(path), mode="r+")
    ome = group.attrs["ome"]
    steps = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    steps[0]["scale"] = [2 * size for size in steps[0]["scale"]]
    group.attrs["ome"] = ome
    assert read_geometry(path).spacing == pytest.approx((1.4, 1.6, 10.0))


def test_label_images_of_a_scan_are_files_of_their_own(tmp_path):
    scan = marked_scan("LPS", (1.0, 1.0, 2.0), 17.0)
    path = write_volume(tmp_path / "scan.ome.zarr", scan)
    names = {2: "liver", 7: "right kidney"}
    organs = scan.with_array((scan.array > 0).astype(np.uint8) * 7, class_names=names)
    write_volume(tmp_path / "organs.zarr", organs)
    zarr.create_group(str(path / "labels"), attributes={"ome": {"labels": ["organs"]}})
    shutil.move(tmp_path / "organs.zarr", path / "labels" / "organs")
    (found,) = label_images(path)
    labels = read_volume(found)
    assert labels.class_names == names
    np.testing.assert_array_equal(labels.array, organs.array)
    np.testing.assert_allclose(labels.affine, scan.affine, atol=1e-9)
    assert read_volume(path).array.max() == 1000


def test_folders_of_zarr_are_listed_as_scans_and_named_without_the_ending(tmp_path):
    scan = marked_scan("RAS", (1.0, 1.0, 1.0), 0.0)
    for name in ("a.ome.zarr", "b.zarr", "c.nii"):
        write_volume(tmp_path / name, scan)
    assert [scan_name(path) for path in list_scans(tmp_path)] == ["a", "b", "c"]
    assert list_scans(tmp_path / "b.zarr") == [tmp_path / "b.zarr"]


def test_folder_takes_the_place_of_an_older_one_whole_or_not_at_all(tmp_path):
    scan = marked_scan("RAS", (1.0, 1.0, 1.0), 0.0)
    path = write_volume(tmp_path / "a.ome.zarr", scan)
    with pytest.raises(ValueError, match="object"):
        write_volume(path, Volume(np.full(scan.shape, None), scan.affine))
    np.testing.assert_array_equal(read_volume(path).array, scan.array)
    write_volume(path, scan.with_array(scan.array + 1))
    np.testing.assert_array_equal(read_volume(path).array, scan.array + 1)
    assert list(tmp_path.iterdir()) == [path]


def test_chunk_that_is_cut_short_is_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 99, (20, 20, 20)).astype(np.int16)
    path = write_volume(tmp_path / "scan.ome.zarr", Volume(noise, np.eye(4)))
    (chunk,) = path.rglob("c/*/*/*")
    chunk.write_bytes(chunk.read_bytes()[:-400])
    with pytest.raises(ScanError, match=r"scan\.ome\.zarr (cannot be read|has a chunk)"):
        read_volume(path)


def test_folder_without_an_image_says_what_it_holds(tmp_path):
    zarr.create_group(str(tmp_path / "plate.zarr"))
    zarr.create_group(str(tmp_path / "plate.zarr" / "A"))
    with pytest.raises(ScanError, match=r"no OME-Zarr image.*plate\.zarr/A"):
        read_volume(tmp_path / "plate.zarr")


def test_missing_library_says_what_to_install(tmp_path, monkeypatch):
    path = write_volume(tmp_path / "scan.zarr", marked_scan("RAS", (1.0, 1.0, 1.0), 0.0))
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MedContextError, match=r"napari-medcontext\[zarr\]"):
        read_volume(path)
