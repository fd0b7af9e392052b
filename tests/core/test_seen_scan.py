"""What is hidden of a scan tells nothing, and only what sees it is computed again."""

import numpy as np
import pytest
import torch
from torch import nn

from napari_medcontext.core.classes import Classes
from napari_medcontext.core.device import Compute
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.inference import Predictor, drained
from napari_medcontext.core.mask_grid import MaskGrid
from napari_medcontext.core.masking import draw_mask
from napari_medcontext.core.masking.sites import MaskedNetwork
from napari_medcontext.core.masking.token import VoxelToken
from napari_medcontext.core.method_settings import MaskingSettings
from napari_medcontext.core.seen_scan import SeenScan
from napari_medcontext.core.windows import windowed_probabilities

CPU = Compute(torch.device("cpu"), "float32")
CLASSES = Classes((0, 2, 5), {2: "liver", 5: "spleen"})
ONE_MM = (1.0, 1.0, 1.0)
BOX = (slice(30, 37), slice(4, 9), slice(5, 9))
HIDINGS = ("token", "mean", "noise")


def done(work):
    return drained(work, lambda: False)


def rng():
    return np.random.default_rng(7)


@pytest.fixture
def predictor(tiny_config):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(1, 4, 5, padding=2), nn.ReLU(), nn.Conv3d(4, 3, 3, padding=1))
    token = VoxelToken(1)
    with torch.no_grad():
        token.value.fill_(0.5)
    config = tiny_config.updated({"data": {"patch_size": (16, 16, 16)}})
    return Predictor([network.eval()], config, CLASSES, ONE_MM, CPU, token)


@pytest.fixture
def image():
    return torch.as_tensor(np.random.default_rng(0).normal(size=(48, 20, 12)).astype(np.float32))


def as_whole(answer, whole):
    """Put an answer's part into what is said of the whole scan."""
    together = whole.clone()
    together[(slice(None), *answer.region)] = answer.probabilities
    return together


def test_whole_scan_is_seen_as_by_sliding_a_window(predictor, image):
    seen = SeenScan(predictor, image[None])
    expected = windowed_probabilities(
        predictor.networks, image[None], (16, 16, 16), CPU, overlap=seen.grid.overlap
    )
    torch.testing.assert_close(done(seen.whole()), done(expected))


@pytest.mark.parametrize("asked_before", [True, False], ids=["whole seen before", "at once"])
def test_answer_is_that_of_all_windows_though_few_are_computed(predictor, image, asked_before):
    seen = SeenScan(predictor, image[None])
    if asked_before:
        done(seen.whole())
    mask = seen.grid.boxed(BOX)
    answer = done(seen.masked(mask, "token", rng()))
    view = torch.cat([seen.grid.image, torch.as_tensor(mask)[None].float()])
    masked = MaskedNetwork(predictor.networks[0], predictor.token)
    work = windowed_probabilities([masked], view, (16, 16, 16), CPU, overlap=seen.grid.overlap)
    expected = done(work)[(slice(None), *seen.grid.inner)]
    torch.testing.assert_close(as_whole(answer, done(seen.whole())), expected)
    assert answer.region[0] != slice(0, 48)


def test_windows_that_see_nothing_hidden_are_not_computed_again(predictor, image):
    seen, counted = SeenScan(predictor, image[None]), []
    done(seen.whole())
    predictor.networks[0].register_forward_hook(lambda *_: counted.append(1))
    done(seen.masked(seen.grid.boxed(BOX), "mean", rng()))
    touched, windows = len(counted), len(seen._boxes)
    assert 0 < touched < windows


def test_mask_that_is_everywhere_needs_no_look_at_the_whole_scan(predictor, image):
    seen, counted = SeenScan(predictor, image[None]), []
    predictor.networks[0].register_forward_hook(lambda *_: counted.append(1))
    mask = seen.grid.draw(MaskingSettings(block_size=4), 2, rng())
    answer = done(seen.masked(mask, "token", rng()))
    assert len(counted) == len(seen._boxes)
    assert answer.probabilities.shape[1:] == image.shape


@pytest.mark.parametrize("hiding", HIDINGS)
@pytest.mark.parametrize(
    "box", [BOX, (slice(0, 5), slice(0, 20), slice(0, 12))], ids=["inside", "at the edges"]
)
def test_hidden_voxels_have_no_influence(predictor, image, hiding, box):
    other = image.clone()
    other[box] += 50.0
    answers, shown = [], []
    for scan in (image, other):
        seen = SeenScan(predictor, scan[None])
        mask = seen.grid.boxed(box)
        answers.append(done(seen.masked(mask, hiding, rng())).probabilities)
        shown.append(seen.shown(mask, hiding, rng()))
    torch.testing.assert_close(shown[0], shown[1], rtol=0, atol=1e-6)
    torch.testing.assert_close(answers[0], answers[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("hiding", "value"), [("token", 0.5), ("mean", None)])
def test_hidden_place_shows_what_stands_there(predictor, image, hiding, value):
    seen = SeenScan(predictor, image[None])
    shown = seen.shown(seen.grid.boxed(BOX), hiding, rng())
    visible = torch.ones(image.shape, dtype=torch.bool)
    visible[BOX] = False
    expected = float(image[visible].mean()) if value is None else value
    assert shown[BOX].numpy() == pytest.approx(np.full((7, 5, 4), expected), abs=1e-6)
    assert torch.equal(shown[visible], image[visible])


def test_noise_is_of_the_values_that_are_seen(predictor, image):
    image[BOX] = 99.0
    seen = SeenScan(predictor, image[None])
    shown = seen.shown(seen.grid.boxed(BOX), "noise", rng())
    assert np.isin(shown[BOX].numpy(), image.numpy()).all()
    assert shown.max() < 99
    assert len(shown[BOX].unique()) > 100


def test_run_without_a_token_offers_none_and_says_so(predictor, image):
    from dataclasses import replace

    seen = SeenScan(replace(predictor, token=None), image[None])
    assert seen.hidings == ("mean", "noise")
    with pytest.raises(SettingsError, match="no mask token"):
        done(seen.masked(seen.grid.boxed(BOX), "token", rng()))


def test_scan_cannot_be_hidden_altogether(predictor, image):
    seen = SeenScan(predictor, image[None])
    everything = np.ones(seen.grid.shape, dtype=bool)
    with pytest.raises(SettingsError, match="Hide a smaller part"):
        done(seen.masked(everything, "mean", rng()))


@pytest.fixture
def token_grid(tiny_config):
    config = tiny_config.updated(
        {
            "network": {"name": "unetr"},
            "masking": {"site": "tokens", "block_size": 16},
            "data": {"patch_size": (32, 32, 16)},
        }
    )
    return MaskGrid(torch.zeros(1, 40, 30, 20), config, ONE_MM)


def test_box_grows_to_whole_tokens_of_a_run_that_hides_them(token_grid):
    box = (slice(9, 12), slice(9, 20), slice(3, 6))
    mask = token_grid.boxed(box)
    assert token_grid.cropped(mask)[box].all()
    first = mask[::16, ::16, ::16]
    assert np.array_equal(first.repeat(16, 0).repeat(16, 1).repeat(16, 2), mask)


def test_blocks_that_would_cut_tokens_are_refused(token_grid):
    token_grid.draw(MaskingSettings(block_size=32), 2, rng())
    with pytest.raises(SettingsError, match="multiple"):
        token_grid.draw(MaskingSettings(block_size=5), 2, rng())


def test_mask_of_a_scan_thinner_than_a_window_is_that_of_the_scan_alone(tiny_config):
    config = tiny_config.updated({"data": {"patch_size": (32, 32, 32)}})
    grid = MaskGrid(torch.zeros(1, 40, 30, 20), config, ONE_MM)
    masking = MaskingSettings(scheme="blocks", block_size=5, ratio=0.4)
    mask = grid.draw(masking, 2, rng())
    assert mask.shape == grid.shape == (40, 32, 32)
    assert grid.cropped(mask).mean() == pytest.approx(0.4, abs=0.01)
    alone = draw_mask(masking, (40, 30, 20), spacing=ONE_MM, axis=2, rng=rng())
    np.testing.assert_array_equal(grid.cropped(mask), alone)
