import hashlib
import subprocess
import sys

import numpy as np
import pytest

from napari_medcontext.core.classes import UNKNOWN
from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.masking import (
    block_voxels,
    check_masking,
    choose_axis,
    draw_blocks,
    draw_mask,
    draw_structure,
    draw_tubes,
)
from napari_medcontext.core.masking.structure import structure_boxes
from napari_medcontext.core.method_settings import MaskingSettings

ONE_MM = (1.0, 1.0, 1.0)


def tubes(seed=0, shape=(32, 48, 24), ratio=0.4, block=(8, 8, 8), axis=2):
    rng = np.random.default_rng(seed)
    return draw_tubes(shape, ratio=ratio, block=block, axis=axis, rng=rng)


def blocks(seed=0, shape=(32, 48, 24), ratio=0.4, block=(8, 8, 8)):
    return draw_blocks(shape, ratio=ratio, block=block, rng=np.random.default_rng(seed))


def drawn(seed=0, shape=(64, 64, 32), spacing=ONE_MM, axis=2, labels=None, unit=(1, 1, 1), **how):
    rng = np.random.default_rng(seed)
    settings = MaskingSettings(**how)
    return draw_mask(settings, shape, spacing=spacing, axis=axis, rng=rng, labels=labels, unit=unit)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_what_is_hidden_in_one_slice_is_hidden_in_all(axis):
    mask = tubes(axis=axis)
    first = mask.take([0], axis=axis)
    assert mask.shape == (32, 48, 24)
    assert (mask == first).all()
    assert 0 < first.mean() < 1


@pytest.mark.parametrize("ratio", [0.1, 0.3, 0.4, 0.6, 0.95])
def test_hidden_share_of_the_blocks_is_exact_for_every_draw(ratio):
    blocks = 4 * 6
    for seed in range(10):
        plane = tubes(seed, ratio=ratio)[:, :, 0]
        assert plane.sum() == round(ratio * blocks) * 8 * 8
        cells = plane.reshape(4, 8, 6, 8)
        assert (cells == cells[:, :1, :, :1]).all()


def test_every_block_is_hidden_equally_often():
    often = np.mean([tubes(seed)[::8, ::8, 0] for seed in range(600)], axis=0)
    assert np.abs(often - round(0.4 * 24) / 24).max() < 0.1


@pytest.mark.parametrize(("ratio", "hidden"), [(0.001, 1), (0.999, 23)])
def test_at_least_one_block_is_hidden_and_one_left(ratio, hidden):
    assert tubes(ratio=ratio)[::8, ::8, 0].sum() == hidden


def test_last_block_is_cut_where_it_does_not_fit():
    mask = tubes(shape=(20, 13, 5))
    assert mask.shape == (20, 13, 5)
    for row in (slice(0, 8), slice(8, 16), slice(16, 20)):
        for column in (slice(0, 8), slice(8, 13)):
            assert len(np.unique(mask[row, column])) == 1


def test_same_generator_draws_the_same_mask_and_another_draws_another():
    assert (tubes(3) == tubes(3)).all()
    assert (tubes(3) != tubes(4)).any()


def test_depth_axis_is_the_clearly_thickest_else_inferior_superior():
    assert choose_axis("auto", [(1, 1, 1), (1, 1, 1)]) == 2
    assert choose_axis("auto", [(1, 3, 1), (1, 3, 1), (1, 1, 1)]) == 1
    assert choose_axis("auto", [(1.4, 1, 1)]) == 2
    assert choose_axis("auto", [(1.5, 1, 1)]) == 0
    assert choose_axis("y", [(1, 1, 9)]) == 1


def test_default_settings_draw_the_masks_of_the_first_release():
    masks = [drawn(seed, shape=shape) for seed in range(3) for shape in [(64, 64, 32), (50, 33, 9)]]
    bits = b"".join(np.packbits(mask).tobytes() for mask in masks)
    assert hashlib.sha256(bits).hexdigest()[:16] == "79a23587e6e74bff"


@pytest.mark.parametrize("ratio", [0.1, 0.3, 0.4, 0.6, 0.95])
def test_blocks_hide_an_exact_share_of_the_boxes_wherever_they_lie(ratio):
    cells = 4 * 6 * 3
    for seed in range(10):
        grid = blocks(seed, ratio=ratio).reshape(4, 8, 6, 8, 3, 8)
        corners = grid[:, :1, :, :1, :, :1]
        assert (grid == corners).all()
        assert corners.sum() == round(ratio * cells)
    assert (blocks()[:, :, :8] != blocks()[:, :, 8:16]).any()


def test_blocks_of_unequal_sides_are_cut_where_they_do_not_fit():
    mask = blocks(shape=(20, 13, 5), block=(8, 4, 2))
    assert mask.shape == (20, 13, 5)
    for x in (slice(0, 8), slice(8, 16), slice(16, 20)):
        for y in (slice(0, 4), slice(4, 8), slice(8, 12), slice(12, 13)):
            for z in (slice(0, 2), slice(2, 4), slice(4, 5)):
                assert len(np.unique(mask[x, y, z])) == 1


def organs(shape=(64, 64, 32)):
    """Three classes: a ball, a thin rod, and one that fills more than half of the sample."""
    x, y, z = np.indices(shape)
    labels = np.zeros(shape, dtype=np.uint8)
    labels[((x - 20) ** 2 + (y - 40) ** 2 + (z - 14) ** 2) < 49] = 1
    labels[50:53, 5:25, 20:22] = 2
    return labels


def test_structure_box_hides_all_of_one_organ_in_every_draw():
    labels, hidden_often = organs(), {1: 0, 2: 0}
    for seed in range(60):
        mask = drawn(seed, scheme="structure", labels=labels)
        whole = [index for index in (1, 2) if mask[labels == index].all()]
        assert whole
        for index in whole:
            hidden_often[index] += 1
    assert all(count > 20 for count in hidden_often.values())


def boxes(seed, labels, unit=(1, 1, 1), ratio=0.4):
    rng = np.random.default_rng(seed)
    return structure_boxes(
        labels.shape, ratio=ratio, block=(16, 16, 16), labels=labels, unit=unit, rng=rng
    )


def sides(box):
    return np.array([side.stop - side.start for side in box])


def test_structure_box_varies_in_place_and_size_round_the_organ():
    labels = (organs() == 1).astype(np.uint8)
    found = [boxes(seed, labels)[0] for seed in range(200)]
    assert all(labels[box].sum() == labels.sum() for box in found)
    for axis in range(3):
        assert len({box[axis].start for box in found}) >= 3
        assert len({box[axis].stop for box in found}) >= 3
    # The organ lies anywhere in its box, so that the box's middle is not the organ's.
    centres = np.array([[(s.start + s.stop) / 2 for s in box] for box in found])
    assert (centres.std(0) > 0.5).all()


def test_every_structure_has_decoys_of_similar_size_that_lie_anywhere():
    labels = (organs() == 1).astype(np.uint8)
    rank, places = [], []
    for seed in range(300):
        own, *decoys = boxes(seed, labels)
        assert decoys
        for decoy in decoys:
            assert (np.abs(sides(decoy) / sides(own) - 1) <= 0.35).all()
            places.append([side.start for side in decoy])
        rank.append(np.mean([np.prod(sides(own)) > np.prod(sides(d)) for d in decoys]))
    # Neither the largest nor the smallest is the structure's more often than chance has it.
    assert 0.4 < np.mean(rank) < 0.6
    spread = np.ptp(np.array(places), axis=0)
    assert (spread > 0.6 * np.array(labels.shape)).all()


def test_outlines_of_a_structure_mask_are_more_than_one():
    from scipy.ndimage import label

    masks = [drawn(seed, scheme="structure", ratio=0.2, labels=organs()) for seed in range(20)]
    assert np.mean([label(mask)[1] for mask in masks]) > 2


@pytest.mark.parametrize(
    "labels",
    [None, np.zeros((64, 64, 32), np.uint8), np.full((64, 64, 32), UNKNOWN, np.uint8)],
    ids=["no labels", "no structure", "unknown"],
)
def test_sample_without_a_structure_is_hidden_by_decoys_alone(labels):
    for seed in range(10):
        mask = drawn(seed, scheme="structure", labels=labels)
        assert 0.4 <= mask.mean() <= 0.8


def test_structure_that_leaves_nothing_round_it_is_not_chosen():
    labels = np.ones((32, 32, 32), dtype=np.uint8)
    labels[:3, :3, :3] = 2
    for seed in range(30):
        mask = drawn(seed, shape=labels.shape, scheme="structure", labels=labels)
        assert mask[labels == 2].all()
        assert mask.mean() <= 0.8


def test_structure_mask_of_tokens_keeps_to_whole_tokens():
    labels = organs()
    for seed in range(30):
        mask = drawn(seed, scheme="structure", labels=labels, unit=(16, 16, 8))
        cells = mask.reshape(4, 16, 4, 16, 4, 8)
        assert (cells == cells[:, :1, :, :1, :, :1]).all()
        assert any(mask[labels == index].all() for index in (1, 2))
        assert mask.mean() <= 0.8


def test_something_is_hidden_even_where_hardly_anything_fits():
    rng = np.random.default_rng(0)
    mask = draw_structure(
        (32, 16, 16), ratio=0.9, block=(32, 16, 16), labels=None, unit=(16, 16, 16), rng=rng
    )
    assert mask.mean() == 0.5


def test_block_in_millimetres_is_so_many_voxels_by_each_axis_spacing():
    settings = MaskingSettings(block_size_mm=20.0)
    assert block_voxels(settings, (1.25, 2.0, 50.0)) == (16, 10, 1)
    assert block_voxels(settings, (1.25, 2.0, 50.0), unit=(4, 4, 2)) == (16, 8, 2)
    assert block_voxels(MaskingSettings(), (1.25, 2.0, 50.0)) == (16, 16, 16)
    mask = drawn(scheme="blocks", block_size_mm=20.0, spacing=(1.25, 2.5, 5.0))
    grid = mask.reshape(4, 16, 8, 8, 8, 4)
    assert (grid == grid[:, :1, :, :1, :, :1]).all()
    assert (grid[:, 0, :, 0, :, 0] != np.roll(grid[:, 0, :, 0, :, 0], 1, axis=2)).any()
    tube = drawn(block_size_mm=20.0, spacing=(1.25, 2.5, 5.0))
    assert tube[::16, ::8, 0].sum() == round(0.4 * 4 * 8)


def test_ratio_from_a_range_is_drawn_for_each_sample():
    shares = [drawn(seed, ratio_range=(0.2, 0.7), block_size=4).mean() for seed in range(100)]
    assert min(shares) >= 0.19
    assert max(shares) <= 0.71
    assert min(shares) < 0.3
    assert max(shares) > 0.6
    fixed = drawn(ratio_range=(0.5, 0.5), block_size=4)
    assert fixed.mean() == 0.5


@pytest.mark.parametrize("ratios", [(0.7, 0.2), (0.0, 0.5), (0.5, 1.0)])
def test_wrong_ranges_are_refused(ratios):
    with pytest.raises(SettingsError, match="masking"):
        RunConfig().updated({"masking": {"ratio_range": ratios}})


def check(axis=2, spacing=ONE_MM, patch=(32, 48, 24), network="unet", **how):
    config = RunConfig().updated(
        {"masking": how, "data": {"patch_size": patch}, "network": {"name": network}}
    )
    check_masking(config, axis, spacing)


def test_block_that_hides_a_whole_patch_is_refused_and_the_largest_that_works_is_named():
    with pytest.raises(SettingsError, match=r"48 voxels .*\(32, 48, 24\).* to 47 or less"):
        check(block_size=48)
    check(block_size=47)
    assert not tubes(block=(47, 47, 47)).all()
    with pytest.raises(SettingsError, match=r"along y, .* to 31 or less"):
        check(axis=1, block_size=47)
    check(axis=1, block_size=47, scheme="blocks")
    with pytest.raises(SettingsError, match=r"voxels and leaves .* to 47 or less"):
        check(axis=1, block_size=48, scheme="structure")


def test_too_large_a_block_in_millimetres_is_refused_in_millimetres():
    spacing = (1.0, 1.25, 5.0)
    with pytest.raises(SettingsError, match=r"60 mm.*\(60, 48, 12\) voxels.*to 58\.7 mm or less"):
        check(spacing=spacing, block_size_mm=60)
    check(spacing=spacing, block_size_mm=58.7)


def test_block_that_cuts_tokens_is_refused_and_a_size_that_fits_is_named():
    patch = (64, 64, 32)
    with pytest.raises(SettingsError, match=r"24 voxels .* unetr.*\(16, 16, 16\).* of 32 fits"):
        check(network="unetr", patch=patch, site="tokens", block_size=24)
    with pytest.raises(SettingsError, match=r"of 16 fits"):
        check(network="unetr", patch=patch, site="tokens", block_size=3)
    check(network="unetr", patch=patch, site="tokens", block_size=16)
    check(network="unetr", patch=patch, site="tokens", block_size_mm=20)
    check(network="unetr", patch=patch, site="tokens", scheme="structure", block_size=24)
    # Along the columns of nnFormer's flat tokens a block may have any size.
    check(network="nnformer", patch=patch, site="tokens", block_size=4)
    with pytest.raises(SettingsError, match="to 48 or less"):
        check(network="unetr", patch=patch, site="tokens", block_size=64)


def test_network_without_tokens_refuses_to_have_them_hidden_unless_nothing_is():
    with pytest.raises(SettingsError, match=r"unet has no tokens.*voxels.*unetr, swinunetr"):
        check(site="tokens")
    config = RunConfig().updated(
        {"masking": {"site": "tokens"}, "objective": {"method": "supervised"}}
    )
    check_masking(config, 2, ONE_MM)


def test_masks_are_drawn_without_torch_so_that_a_window_may_show_them():
    script = "import sys, napari_medcontext.core.masking; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
