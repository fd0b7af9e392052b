from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_medcontext.core.device import Compute
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.events import PreviewReady
from napari_medcontext.core.learner import Learner
from napari_medcontext.core.losses import dice_ce
from napari_medcontext.core.masked_scan import MaskedScan
from napari_medcontext.core.masking import draw_mask
from napari_medcontext.core.masking.sites import MaskedNetwork, make_token
from napari_medcontext.core.masking.token import VoxelToken
from napari_medcontext.core.networks import NETWORKS, Tokens, build_network, find_network
from napari_medcontext.core.prepared import PreparedScan
from napari_medcontext.core.sampler import Batch
from napari_medcontext.core.trainer import train

CPU = Compute(torch.device("cpu"), "float32")
ONE_MM = (1.0, 1.0, 1.0)
PATCHES = {"unetr": (32, 32, 16), "swinunetr": (64, 32, 32), "nnformer": (64, 32, 16)}
BLOCK = 16


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module", params=PATCHES)
def hidden_tokens(request, tiny_config):
    """A network, its mask token, and masks for two samples."""
    return tokens_of(request.param, tiny_config)


def tokens_of(name, config, **masking):
    patch = PATCHES[name]
    config = config.updated(
        {
            "network": {"name": name},
            "data": {"patch_size": patch},
            "masking": {"site": "tokens", "block_size": BLOCK, **masking},
        }
    )
    torch.manual_seed(0)
    network = build_network(config.network, channels=1, classes=3, patch_size=patch).eval()
    token = make_token(config, network, ONE_MM)
    drawn = [
        draw_mask(
            config.masking,
            patch,
            spacing=ONE_MM,
            axis=2,
            rng=np.random.default_rng(seed),
            unit=find_network(name).tokens.size,
        )
        for seed in (0, 1)
    ]
    return config, network, token, torch.as_tensor(np.stack(drawn))[:, None]


def images(config, count=2):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 1, *config.data.patch_size, generator=generator)


def embedded(config, network, image):
    """Return what the network goes on with, as (B, width, x, y, z)."""
    tokens = find_network(config.network.name).tokens
    seen = []
    part = network.get_submodule(tokens.embedding)
    handle = part.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    with torch.no_grad():
        network(image)
    handle.remove()
    output = seen[0].movedim(-1, 1) if tokens.width_last else seen[0]
    grid = [side // own for side, own in zip(image.shape[2:], tokens.size, strict=True)]
    return output.reshape(*output.shape[:2], *grid)


def masked_pair(shape=(8, 8, 4), channels=3):
    image = torch.randn(2, channels, *shape, generator=torch.Generator().manual_seed(0))
    image.requires_grad_()
    mask = torch.rand(2, 1, *shape, generator=torch.Generator().manual_seed(1)) < 0.4
    return image, mask


def test_masked_view_is_equation_1():
    image, mask = masked_pair()
    token = VoxelToken(3)
    with torch.no_grad():
        token.value.copy_(torch.tensor([0.5, -2.0, 7.0]))
    x, i = image.detach().numpy().astype(np.float64), mask.numpy().astype(np.float64)
    h = np.array([0.5, -2.0, 7.0])[None, :, None, None, None]
    np.testing.assert_allclose(token(image, mask).detach().numpy(), x * (1 - i) + h * i, rtol=1e-6)


def test_block_token_repeats_on_the_grid_of_the_blocks():
    image, mask = masked_pair()
    token = VoxelToken(3, (4, 4, 3))
    torch.nn.init.normal_(token.value)
    view = token(image, mask).detach()
    for sample, channel, x, y, z in np.ndindex(*image.shape):
        wanted = image[sample, channel, x, y, z]
        if mask[sample, 0, x, y, z]:
            wanted = token.value[channel, x % 4, y % 4, z % 3]
        assert view[sample, channel, x, y, z] == wanted


def test_voxel_token_learns_and_hidden_voxels_get_no_gradient():
    image, mask = masked_pair()
    token = VoxelToken(3)
    token(image, mask).sum().backward()
    assert token.value.grad.tolist() == [float(mask.sum())] * 3
    hidden = mask.expand_as(image)
    assert (image.grad[hidden] == 0).all()
    assert (image.grad[~hidden] == 1).all()


@pytest.mark.parametrize("name", ["unet", "unetr"])
def test_with_voxels_hidden_no_output_depends_on_a_hidden_voxel(tiny_config, name):
    patch = (32, 32, 16)
    config = tiny_config.updated({"network": {"name": name}, "data": {"patch_size": patch}})
    network = build_network(config.network, channels=1, classes=3, patch_size=patch)
    image, mask = masked_pair(patch, channels=1)
    token = make_token(config, network, ONE_MM)
    with token.hiding(network, mask):
        network(token(image, mask)).square().sum().backward()
    assert (image.grad[mask] == 0).all()
    assert (image.grad[~mask] != 0).float().mean() > 0.9


def test_a_token_is_hidden_if_and_only_if_its_voxels_are(hidden_tokens):
    config, network, token, mask = hidden_tokens
    image = images(config)
    plain = embedded(config, network, image)
    with token.hiding(network, mask):
        masked = embedded(config, network, token(image, mask))
    shares = torch.nn.functional.avg_pool3d(
        mask.float(), find_network(config.network.name).tokens.size
    )
    assert set(shares.unique().tolist()) == {0.0, 1.0}
    stand_in = token.value.detach().view(1, -1, 1, 1, 1)
    torch.testing.assert_close(masked, torch.where(shares == 1, stand_in, plain))
    assert not torch.allclose(masked, plain)
    assert torch.equal(embedded(config, network, image), plain)


def test_of_one_pass_only_the_last_samples_are_hidden(hidden_tokens):
    config, network, token, mask = hidden_tokens
    image = images(config)
    with token.hiding(network, mask), torch.no_grad():
        first, second = network(torch.cat([image, token(image, mask)])).chunk(2)
        alone = network(token(image, mask))
    with torch.no_grad():
        torch.testing.assert_close(first, network(image), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(second, alone, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(first, second, atol=1e-3)


def test_hidden_tokens_keep_their_position(tiny_config):
    config, network, token, mask = tokens_of("unetr", tiny_config, ratio=0.7)
    part, seen = network.vit.patch_embedding, []
    part.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    with token.hiding(network, mask), torch.no_grad():
        network(images(config))
    places = mask[0, 0, ::16, ::16, ::16].flatten().nonzero().flatten()
    assert len(places) >= 2
    one, other = places[:2]
    positions = part.position_embeddings[0]
    apart = seen[0][0, one] - seen[0][0, other]
    torch.testing.assert_close(apart, positions[one] - positions[other], rtol=1e-4, atol=1e-6)
    assert apart.abs().max() > 0


def test_network_is_as_before_once_hiding_ends_whatever_happened(tiny_config):
    config, network, token, mask = tokens_of("unetr", tiny_config)
    with torch.no_grad():
        before = network(images(config))
        with pytest.raises(RuntimeError), token.hiding(network, mask):
            network(torch.zeros(1, 1, 3, 3, 3))
        assert torch.equal(network(images(config)), before)


@pytest.mark.parametrize("site", ["voxels", "tokens"])
@pytest.mark.parametrize("kind", ["value", "block"])
def test_token_learns_in_a_step_with_all_of_its_values(tiny_config, site, kind):
    masking = {"site": site, "token": kind, "block_size": 32, "ratio": 0.5, "scheme": "blocks"}
    config = tiny_config.updated(
        {
            "network": {"name": "unetr"},
            "data": {"patch_size": (64, 32, 16)},
            "masking": masking,
            "training": {"weight_decay": 0.0},
        }
    )
    learner = Learner(config, 3, 2, CPU)
    shapes = {
        ("voxels", "value"): (1,),
        ("voxels", "block"): (1, 32, 32, 32),
        ("tokens", "value"): (192,),
        ("tokens", "block"): (192, 2, 2, 2),
    }
    assert learner.token.value.shape == shapes[site, kind]
    before = learner.token.value.detach().clone()
    learner.learn(batch_of((64, 32, 16)))
    moved = learner.token.value.detach() != before
    # A patch is only half as thick as the block.
    used = moved[..., : moved.shape[-1] // 2] if kind == "block" else moved
    assert used.float().mean() > 0.95


def batch_of(shape):
    rng = np.random.default_rng(0)
    image = torch.tensor(rng.normal(size=(2, 1, *shape)), dtype=torch.float32)
    labels = torch.tensor(rng.integers(0, 3, image.shape), dtype=torch.float32)
    return Batch(image, labels)


def test_a_step_hides_tokens_from_the_masked_view_alone(tiny_config):
    config = tiny_config.updated(
        {
            "network": {"name": "unetr"},
            "data": {"patch_size": (32, 16, 16)},
            "masking": {"site": "tokens", "block_size": 16},
        }
    )
    batch = batch_of((32, 16, 16))
    learner, restated = Learner(config, 3, 2, CPU), Learner(config, 3, 2, CPU)
    losses = learner.learn(batch).losses
    with torch.no_grad(), restated.token.hiding(restated.student, restated.masks(2, (32, 16, 16))):
        hidden = restated.student(batch.image)
    with torch.no_grad():
        whole = restated.student(batch.image)
    assert losses["dice_ce"] == pytest.approx(float(dice_ce(whole, batch.labels)), rel=1e-5)
    assert losses["dice_ce_masked"] == pytest.approx(float(dice_ce(hidden, batch.labels)), rel=1e-5)
    assert losses["dice_ce"] != pytest.approx(losses["dice_ce_masked"], rel=1e-5)


def test_run_with_any_token_is_restored_exactly(tiny_config):
    config = tiny_config.updated(
        {"network": {"name": "unetr"}, "masking": {"site": "tokens", "block_size": 16}}
    )
    learner, restored = Learner(config, 3, 2, CPU), Learner(config, 3, 2, CPU)
    batch = batch_of((32, 16, 16))
    learner.learn(batch)
    restored.restore(learner.step, learner.weights(), learner.rest())
    assert torch.equal(restored.token.value, learner.token.value)
    assert restored.learn(batch).losses == learner.learn(batch).losses


def test_structure_masks_of_a_step_follow_the_labels_of_each_sample(tiny_config):
    config = tiny_config.updated({"masking": {"scheme": "structure"}})
    learner = Learner(config, 3, 2, CPU)
    labels = torch.zeros(2, 1, 32, 16, 16)
    labels[0, 0, 4:8, 4:8, 4:8] = 1
    labels[1, 0, 20:26, 9:12, 2:9] = 2
    masks = learner.masks(2, (32, 16, 16), labels)
    assert masks[labels > 0].all()
    assert 0 < masks.float().mean() < 0.9
    assert torch.equal(masks, learner.masks(2, (32, 16, 16), labels))
    both = torch.cat([labels, labels[:1]])
    assert torch.equal(masks, learner.masks(3, (32, 16, 16), both)[:2])


def test_network_whose_tokens_lie_otherwise_than_it_says_is_refused(tiny_config, monkeypatch):
    wrong = Tokens((8, 8, 8), "vit.patch_embedding.patch_embeddings", width_last=True)
    monkeypatch.setitem(NETWORKS, "unetr", replace(NETWORKS["unetr"], tokens=wrong))
    with pytest.raises(SettingsError, match=r"one token for each \(8, 8, 8\) voxels"):
        tokens_of("unetr", tiny_config)


class Recorder(VoxelToken):
    """Keeps the masks that a network was shown."""

    def __init__(self):
        super().__init__(1)
        self.masks = []

    def hiding(self, network, mask):
        self.masks.append(mask)
        return super().hiding(network, mask)


@pytest.mark.parametrize("scheme", ["tube", "blocks", "structure"])
def test_every_window_on_a_masked_scan_holds_whole_tokens(tiny_config, scheme):
    config = tiny_config.updated(
        {
            "network": {"name": "unetr"},
            "data": {"patch_size": (64, 32, 16)},
            "masking": {"site": "tokens", "block_size": 16, "scheme": scheme},
        }
    )
    image = torch.randn(90, 37, 11, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(90, 37, 11, dtype=torch.uint8)
    labels[20:30, 12:20, 3:6] = 1
    scan = PreparedScan("scan", image[None], labels, np.eye(4), ONE_MM)
    masked = MaskedScan(scan, config, 2, ONE_MM, np.random.default_rng(0))
    assert masked.mask.shape == image.shape
    assert 0 < masked.mask.float().mean() < 1
    if scheme == "structure":
        assert masked.mask[labels > 0].all()
    token = Recorder()
    work = masked.probabilities(torch.nn.Conv3d(1, 3, 1), token, CPU)
    for _ in work:
        pass
    assert len(token.masks) > 2
    for mask in token.masks:
        cells = mask.reshape(4, 16, 2, 16, 1, 16)
        assert torch.equal(cells, cells[:, :1, :, :1, :, :1].expand_as(cells))
    shown = masked.shown(VoxelToken(1))
    assert torch.equal(shown, torch.where(masked.mask, 0.0, image))


def test_masked_network_answers_as_the_network_does_to_the_masked_view(tiny_config):
    config, network, token, mask = tokens_of("unetr", tiny_config)
    image = images(config)
    with torch.no_grad():
        answer = MaskedNetwork(network, token)(torch.cat([image, mask.float()], 1))
        with token.hiding(network, mask):
            torch.testing.assert_close(answer, network(image))


@pytest.mark.parametrize(
    "masking",
    [
        {"scheme": "structure"},
        {"scheme": "blocks", "token": "block", "block_size_mm": 6.0},
        {"site": "tokens", "block_size": 16},
        {"site": "tokens", "scheme": "structure", "token": "block", "block_size_mm": 16.0},
    ],
    ids=str,
)
def test_previews_show_what_is_hidden_for_every_scheme_and_site(
    tiny_config, tiny_spec, loaded, masking
):
    dataset, _ = loaded(tiny_spec)
    config = tiny_config.updated(
        {
            "network": {"name": "unetr"},
            "masking": masking,
            "training": {"steps": 1, "preview_every": 100.0},
        }
    )
    (preview,) = (e for e in train(config, dataset) if isinstance(e, PreviewReady))
    assert preview.masked.shape == preview.image.shape == preview.student_masked.shape
    hidden = preview.masked != preview.image
    assert 0.1 < hidden.mean() < 0.95
    if masking.get("site") == "tokens":
        assert (preview.masked[hidden] == preview.image.min()).all()
