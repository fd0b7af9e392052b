import numpy as np
import pytest
import torch

from napari_medcontext.core.intensities import normalise
from napari_medcontext.core.training_settings import DataSettings
from napari_medcontext.core.transforms import (
    augmentation,
    class_map_on,
    prepare_image,
    prepare_labels,
    probability_on,
    resample,
)
from napari_medcontext.core.volume import Volume, resampled_grid

GRIDS = [
    ("RAS", (1.0, 1.0, 1.0), (24, 24, 20)),
    ("LPS", (1.0, 1.0, 1.0), (24, 24, 20)),
    ("SPL", (2.5, 1.0, 1.0), (8, 24, 24)),
    ("AIR", (0.8, 2.0, 1.1), (30, 12, 22)),
]
SPACINGS = [(1.0, 1.0, 1.0), (1.5, 1.5, 2.0), (0.7, 0.9, 1.2)]


def centre_of(mask, affine):
    return affine[:3, :3] @ np.argwhere(mask).mean(0) + affine[:3, 3]


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("grid", GRIDS)
def test_structures_keep_their_place_in_the_world_there_and_back(make_scan, grid, spacing):
    image, labels = make_scan("a", *grid)
    prepared = prepare_image(image, spacing, DataSettings())
    there = prepare_labels(labels, prepared)
    assert prepared.orientation == "RAS"
    assert prepared.spacing == pytest.approx(spacing)
    assert there.shape == prepared.shape
    onehot = torch.tensor(np.stack([there == k for k in range(6)]).astype(np.float32))
    back = class_map_on(onehot, prepared.affine, image)
    assert back.shape == image.shape
    for class_id, centre in ((2, (-5, 0, 0)), (5, (6, 2, 0))):
        for mask, affine in (
            (there == class_id, prepared.affine),
            (back == class_id, image.affine),
        ):
            apart = np.abs(centre_of(mask, affine) - centre).max()
            assert apart < 0.35 * max(*spacing, *grid[1])
        same = (back == class_id) & (labels.array == class_id)
        total = (back == class_id).sum() + (labels.array == class_id).sum()
        assert 2 * same.sum() / total > 0.8


@pytest.mark.parametrize("grid", GRIDS)
def test_linear_ramp_in_the_world_is_resampled_exactly(make_scan, grid):
    image, _ = make_scan("a", *grid)
    index = np.stack([*np.indices(image.shape), np.ones(image.shape)]).reshape(4, -1)
    ramp = ([1.0, 10.0, 100.0, 7.0] @ (image.affine @ index)).reshape(image.shape)
    upright = Volume(ramp.astype(np.float32), image.affine).reoriented("RAS")
    affine, shape = resampled_grid(upright, (1.3, 0.9, 1.7))
    moved = resample(upright.array[None], upright.affine, affine, shape, mode="bilinear")[0]
    index = np.stack([*np.indices(shape), np.ones(shape)]).reshape(4, -1)
    world = affine @ index
    inner = np.linalg.inv(upright.affine) @ world
    ends = np.array(upright.shape)[:, None] - 1
    inside = ((inner[:3] >= 0) & (inner[:3] <= ends)).all(0)
    expected = [1.0, 10.0, 100.0, 7.0] @ world
    assert inside.sum() > 100
    np.testing.assert_allclose(moved.ravel()[inside], expected[inside], atol=0.05)


@pytest.mark.parametrize("spacing", [*SPACINGS, (3.0, 2.0, 5.0)])
def test_new_grid_covers_the_same_field_of_view(spacing):
    volume = Volume(np.zeros((30, 24, 20)), np.diag([1.0, 2.0, 3.0, 1.0]))
    affine, shape = resampled_grid(volume, spacing)
    first = affine @ [-0.5, -0.5, -0.5, 1]
    last = affine @ [*(np.array(shape) - 0.5), 1]
    np.testing.assert_allclose(first[:3], volume.affine[:3, :3] @ ([-0.5] * 3), atol=1e-9)
    wanted = volume.affine[:3, :3] @ (np.array(volume.shape) - 0.5)
    assert (np.abs(last[:3] - wanted) <= np.array(spacing) / 2 + 1e-9).all()


@pytest.mark.parametrize("factor", [2.0, 4.0, 1.7])
def test_labels_do_not_move_against_the_scan_on_a_coarser_grid(factor):
    world = np.indices((48, 48, 48)) - np.array([23.3, 24.1, 22.7])[:, None, None, None]
    ball = (np.sqrt((world**2).sum(0)) < 15).astype(np.uint8)
    labels = Volume(ball, np.eye(4))
    scan = prepare_image(Volume(ball.astype(np.float32), np.eye(4)), (factor,) * 3, DataSettings())
    coarse = prepare_labels(labels, scan)
    where = np.argwhere(coarse) @ scan.affine[:3, :3].T + scan.affine[:3, 3]
    np.testing.assert_allclose(where.mean(0), np.argwhere(ball).mean(0), atol=0.1 * factor)
    assert coarse.sum() * factor**3 == pytest.approx(ball.sum(), rel=0.06)


def test_unchanged_grid_keeps_every_voxel():
    array = np.random.default_rng(0).normal(size=(1, 5, 6, 7)).astype(np.float32)
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    np.testing.assert_array_equal(
        resample(array, affine, affine, (5, 6, 7), mode="bilinear"), array
    )


def test_zscore_has_zero_mean_and_unit_deviation():
    values = np.random.default_rng(0).normal(300, 40, (20, 20, 20))
    out = normalise(values, DataSettings())
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, (values - values.mean()) / values.std(), atol=1e-4)


def test_zscore_leaves_the_outside_of_the_patient_out():
    values = np.random.default_rng(0).normal(300, 40, (20, 20, 20))
    values[:10] = 0
    out = normalise(values, DataSettings())
    assert out[10:].mean() == pytest.approx(0, abs=1e-4)
    assert out[10:].std() == pytest.approx(1, abs=1e-4)
    assert out[:10].max() < -5


def test_percentile_shrugs_off_outliers():
    values = np.random.default_rng(0).normal(300, 40, (20, 20, 20))
    clean = normalise(values, DataSettings(intensity="percentile"))
    values[0, 0, 0] = 1e6
    spoilt = normalise(values, DataSettings(intensity="percentile"))
    np.testing.assert_allclose(spoilt.ravel()[1:], clean.ravel()[1:], atol=0.05)
    assert spoilt.max() < 4


def test_window_becomes_zero_to_one():
    values = np.array([-1000.0, -175.0, 37.5, 250.0, 3000.0])
    out = normalise(values, DataSettings(intensity="window", window=(-175, 250)))
    np.testing.assert_allclose(out, [0, 0, 0.5, 1, 1], atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 5.0])
def test_constant_scan_stays_finite(value):
    out = normalise(np.full((4, 4, 4), value), DataSettings())
    assert np.isfinite(out).all()
    assert np.abs(out).max() == 0


def test_probability_moves_onto_another_grid_between_zero_and_one(make_scan):
    image, labels = make_scan("a", *GRIDS[2])
    prepared = prepare_image(image, (1.0, 1.0, 1.0), DataSettings())
    probability = torch.tensor((prepare_labels(labels, prepared) == 2).astype(np.float32))
    moved = probability_on(probability, prepared.affine, image)
    assert moved.shape == image.shape
    assert moved.dtype == np.float32
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert moved.max() > 0.9


def test_no_augmentation_is_none():
    assert augmentation(DataSettings(augmentation="none"), (8, 8, 8)) is None


@pytest.mark.parametrize("kind", ["gentle", "paper"])
@pytest.mark.parametrize("side", [16, 12])
def test_augmentation_keeps_shape_and_class_indices_and_image_and_labels_together(kind, side):
    labels = torch.zeros(1, 16, side, 8)
    labels[0, 3:9, 2:7, 2:6] = 1
    labels[0, 10:14, 6:11, 3:7] = 2
    augment = augmentation(DataSettings(augmentation=kind), (16, side, 8))
    changed = 0
    for seed in range(12):
        augment.set_random_state(state=np.random.RandomState(seed))
        out = augment({"image": 10 * labels, "labels": labels.clone()})
        image, drawn = np.asarray(out["image"]), np.asarray(out["labels"])
        assert image.shape == drawn.shape == labels.shape
        assert set(np.unique(drawn)) <= {0.0, 1.0, 2.0}
        assert np.corrcoef(image.ravel(), drawn.ravel())[0, 1] > 0.9
        changed += not np.array_equal(drawn, labels.numpy())
    assert changed > 0
