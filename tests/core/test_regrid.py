"""Labels and channels on another grid come onto their scan's, if the user agreed to it."""

import numpy as np
import pytest

from napari_medcontext.core.config import Case, RunSpec
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.events import Warned
from napari_medcontext.core.io import read_volume, write_volume
from napari_medcontext.core.regrid import channel_onto, labels_onto
from napari_medcontext.core.volume import Volume

SCAN = Volume(np.zeros((24, 20, 16), np.int16), np.diag([1.0, 1.0, 2.0, 1.0]), "scan")


def turned(degrees):
    """Return an affine of 0.5 mm voxels, turned about z, that still holds the scan's middle."""
    angle = np.radians(degrees)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine[:3, :3] *= 0.5
    centre = SCAN.affine[:3, :3] @ (np.array(SCAN.shape) / 2)
    affine[:3, 3] = centre - affine[:3, :3] @ np.full(3, 40)
    return affine


@pytest.mark.parametrize("degrees", [0, 30, 180])
def test_a_ball_keeps_its_place_and_size_in_the_world(degrees):
    affine = turned(degrees)
    voxels = np.moveaxis(np.indices((80, 80, 80)), 0, -1)
    world = voxels @ affine[:3, :3].T + affine[:3, 3]
    middle = np.array([10.0, 9.0, 15.0])
    ball = (np.linalg.norm(world - middle, axis=-1) < 8).astype(np.float32) * 3
    moved = labels_onto(Volume(ball, affine, "ball", {3: "ball"}), SCAN)
    assert moved.shape == SCAN.shape
    assert moved.class_names == {3: "ball"}
    where = np.argwhere(moved.array == 3) @ SCAN.affine[:3, :3].T
    assert np.abs(where.mean(0) - middle).max() < 0.3
    assert len(where) * SCAN.voxel_volume_ml == pytest.approx(2.145, rel=0.05)


def test_same_grid_is_left_alone():
    assert labels_onto(SCAN, SCAN) is SCAN
    assert channel_onto(SCAN, SCAN) is SCAN


def test_other_orientation_of_the_same_grid_is_turned_and_not_interpolated():
    drawn = Volume(np.arange(7680, dtype=np.int16).reshape(SCAN.shape), SCAN.affine, "drawn")
    for moved in (
        labels_onto(drawn.reoriented("LSA"), SCAN),
        channel_onto(drawn.reoriented("LSA"), SCAN),
    ):
        np.testing.assert_array_equal(moved.array, drawn.array)
        assert moved.array.dtype == np.int16


def test_training_takes_labels_stored_in_another_orientation(study, tiny_config, loaded, tmp_path):
    labels = read_volume(study / "labels" / "ras.nii.gz")
    write_volume(tmp_path / "turned.nii.gz", labels.reoriented("SPL"))
    image = study / "images" / "ras.nii.gz"
    expected, _ = loaded(
        RunSpec(
            config=tiny_config,
            cases=(Case(name="ras", image=image, labels=study / "labels" / "ras.nii.gz"),),
        )
    )
    turned = Case(name="ras", image=image, labels=tmp_path / "turned.nii.gz")
    for resample in (False, True):
        config = tiny_config.updated({"data": {"resample": resample}})
        dataset, events = loaded(RunSpec(config=config, cases=(turned,)))
        np.testing.assert_array_equal(dataset.training[0].labels, expected.training[0].labels)
        assert not any(isinstance(event, Warned) and "grid" in event.message for event in events)


def test_what_labels_do_not_reach_is_what_it_is_said_to_be():
    part = Volume(np.ones((24, 20, 4), np.uint8), SCAN.affine, "part")
    for outside in (0, 255):
        moved = labels_onto(part, SCAN, outside).array
        assert (moved[..., :4] == 1).all()
        assert (moved[..., 4:] == outside).all()


def test_labels_somewhere_else_are_refused():
    affine = SCAN.affine.copy()
    affine[0, 3] = 500
    away = Volume(np.ones((4, 4, 4), np.uint8), affine, "away")
    with pytest.raises(ScanError, match="Nothing of the labels “away” lies on their scan “scan”"):
        labels_onto(away, SCAN)


def test_channel_is_interpolated_and_its_edges_continued():
    ramp = np.broadcast_to(np.arange(12, dtype=np.int16), (12, 12, 12))
    coarse = Volume(ramp, np.diag([2.0, 2.0, 2.0, 1.0]), "T1")
    moved = channel_onto(coarse, Volume(np.zeros((24, 24, 24)), np.eye(4))).array
    np.testing.assert_allclose(moved[5, 5, :23], np.arange(23) / 2, atol=1e-5)
    assert moved[5, 5, 23] == 11


def test_training_takes_labels_of_another_grid_only_when_told_to(
    study, tiny_config, loaded, tmp_path
):
    labels = read_volume(study / "labels" / "ras.nii.gz")
    # Two slices less at each end, all of them empty: the same labels, on a smaller grid.
    filled = np.flatnonzero(labels.array.any(axis=(0, 1)))
    first, last = int(filled[0]), int(filled[-1]) + 1
    affine = labels.affine.copy()
    affine[:3, 3] += affine[:3, 2] * first
    cut = Volume(labels.array[..., first:last], affine)
    write_volume(tmp_path / "cut.nii.gz", cut)
    image = study / "images" / "ras.nii.gz"
    case = Case(name="ras", image=image, labels=tmp_path / "cut.nii.gz")
    with pytest.raises(ScanError, match=r"have the shape.*--resample"):
        loaded(RunSpec(config=tiny_config, cases=(case,)))
    config = tiny_config.updated({"data": {"resample": True}})
    dataset, events = loaded(RunSpec(config=config, cases=(case,)))
    told = [event.message for event in events if isinstance(event, Warned)]
    assert any("“ras” lie on another grid and are resampled" in message for message in told)
    whole = case.model_copy(update={"labels": study / "labels" / "ras.nii.gz"})
    expected, events = loaded(RunSpec(config=config, cases=(whole,)))
    assert not any(isinstance(event, Warned) and "grid" in event.message for event in events)
    np.testing.assert_array_equal(dataset.training[0].labels, expected.training[0].labels)
