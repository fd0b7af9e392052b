import numpy as np
import pytest
import torch

from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.masking import MaskToken, check_block_size, choose_axis, draw_tubes


def tubes(seed=0, shape=(32, 48, 24), ratio=0.4, block_size=8, axis=2):
    rng = np.random.default_rng(seed)
    return draw_tubes(shape, ratio=ratio, block_size=block_size, axis=axis, rng=rng)


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
    mask = tubes(shape=(20, 13, 5), block_size=8)
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


def masked_pair():
    image = torch.randn(2, 3, 8, 8, 4, generator=torch.Generator().manual_seed(0))
    image.requires_grad_()
    masks = [tubes(seed, shape=(8, 8, 4), block_size=2) for seed in (0, 1)]
    return image, torch.as_tensor(np.stack(masks))[:, None]


def test_masked_view_is_equation_1():
    image, mask = masked_pair()
    token = MaskToken(3)
    with torch.no_grad():
        token.value.copy_(torch.tensor([0.5, -2.0, 7.0]))
    x, i = image.detach().numpy().astype(np.float64), mask.numpy().astype(np.float64)
    h = np.array([0.5, -2.0, 7.0])[None, :, None, None, None]
    np.testing.assert_allclose(token(image, mask).detach().numpy(), x * (1 - i) + h * i, rtol=1e-6)


def test_token_learns_and_hidden_voxels_get_no_gradient():
    image, mask = masked_pair()
    token = MaskToken(3)
    token(image, mask).square().sum().backward()
    assert token.value.grad is not None
    with torch.no_grad():
        token.value.fill_(1.0)
    token.value.grad = image.grad = None
    token(image, mask).sum().backward()
    assert token.value.grad.tolist() == [float(mask.sum())] * 3
    hidden = mask.expand_as(image)
    assert (image.grad[hidden] == 0).all()
    assert (image.grad[~hidden] == 1).all()


def test_block_that_hides_a_whole_patch_is_refused_and_the_largest_that_works_is_named():
    with pytest.raises(SettingsError, match=r"48 voxels .*\(32, 48, 24\).* to 47 or less"):
        check_block_size(48, (32, 48, 24), 2)
    check_block_size(47, (32, 48, 24), 2)
    assert not tubes(block_size=47).all()
    with pytest.raises(SettingsError, match=r"along y.* to 31 or less"):
        check_block_size(47, (32, 48, 24), 1)
