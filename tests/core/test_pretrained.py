import pickle
from collections import OrderedDict
from itertools import pairwise

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from napari_medcontext.core.config import RunSpec
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.events import Preparing, StepFinished
from napari_medcontext.core.networks import build_network
from napari_medcontext.core.pretrained import load_matching
from napari_medcontext.core.run import RunFolder
from napari_medcontext.core.trainer import train
from napari_medcontext.core.training_settings import NetworkSettings


def unet(classes=3, seed=0):
    torch.manual_seed(seed)
    return build_network(
        NetworkSettings(name="unet"), channels=1, classes=classes, patch_size=(32, 16, 16)
    )


def swinunetr(seed=0):
    torch.manual_seed(seed)
    return build_network(
        NetworkSettings(name="swinunetr"), channels=1, classes=3, patch_size=(64, 32, 32)
    )


def same(one, other):
    one, other = one.state_dict(), other.state_dict()
    return [name for name in one if torch.equal(one[name], other[name])]


@pytest.fixture
def saved(tmp_path):
    """Return the function that saves a state dict by the name of its file."""

    def save(state, name="weights.safetensors"):
        path = tmp_path / name
        if path.suffix == ".safetensors":
            save_file(dict(state), path)
        else:
            torch.save(state, path)
        return path

    return save


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
def test_weights_of_the_same_network_match_to_the_last(saved, name):
    source, network = unet(), unet(seed=1)
    report = load_matching(network, saved(source.state_dict(), name))
    assert same(source, network) == list(source.state_dict())
    assert report.matched == tuple(source.state_dict())
    assert report.missing == report.unexpected == report.shape_differs == ()
    assert report.share == 1.0
    count = len(report.matched)
    assert report.text == (
        f"Starts from {name}: {count} of {count} tensors matched (100% of the network)."
    )


@pytest.mark.parametrize("wrapper", ["state_dict", "network_weights", "model"])
def test_prefixes_and_wrappers_are_seen_through(saved, wrapper):
    source, network = unet(), unet(seed=1)
    state = OrderedDict((f"module.{name}", t) for name, t in source.state_dict().items())
    report = load_matching(network, saved({"epoch": 7, wrapper: state}, "all.pt"))
    assert same(source, network) == list(report.matched) == list(source.state_dict())


def test_self_supervised_swinunetr_fills_the_encoder_and_leaves_the_rest(saved):
    source, network, before = swinunetr(), swinunetr(seed=1), swinunetr(seed=1)
    # As MONAI publishes it: of the encoder alone, from several GPUs, with older names.
    state = {
        f"module.{name}".replace("mlp.linear", "mlp.fc"): tensor
        for name, tensor in source.swinViT.state_dict().items()
    }
    state["module.mask_token"] = torch.zeros(1, 1, 96)
    state["module.rotation_head.weight"] = torch.zeros(4, 96)
    report = load_matching(network, saved({"state_dict": state, "epoch": 1}, "model_swinvit.pt"))
    encoder = [name for name in network.state_dict() if name.startswith("swinViT.")]
    assert list(report.matched) == encoder
    for name, tensor in network.state_dict().items():
        wanted = (source if name in encoder else before).state_dict()[name]
        assert torch.equal(tensor, wanted), name
    assert report.missing == tuple(n for n in network.state_dict() if n not in encoder)
    assert len(report.unexpected) == 2
    assert 0.0 < report.share < 1.0
    assert f"{len(encoder)} of {len(network.state_dict())} tensors matched" in report.text
    assert "2 in the file alone (" in report.text


def test_published_pcrlv2_fills_all_but_the_head(saved):
    """The published file is of its pre-training: batch norm, other heads, one class."""
    state = {}
    incoming = 1
    for width in (64, 128, 256, 512):
        state |= published_level(f"down_tr{width}", (incoming, width // 2, width))
        incoming = width
    for width in (256, 128, 64):
        state[f"up_tr{width}.up_conv.weight"] = torch.randn(2 * width, 2 * width, 2, 2, 2)
        state[f"up_tr{width}.up_conv.bias"] = torch.randn(2 * width)
        state |= published_level(f"up_tr{width}", (2 * width, width, width))
        state[f"up_tr{width}.predictor_head.0.weight"] = torch.randn(2 * width, width)
    state["out_tr.final_conv.weight"] = torch.randn(1, 64, 1, 1, 1)
    network = build_network(
        NetworkSettings(name="pcrlv2", size="paper"), channels=1, classes=3, patch_size=(16, 8, 8)
    )
    report = load_matching(network, saved({"state_dict": state}, "pcrlv2.pt"))
    assert report.shape_differs == ("head.weight",)
    assert report.missing == ("head.bias",)
    assert len(report.matched) == len(network.state_dict()) - 2
    wanted = state["up_tr128.ops.1.conv1.weight"]
    assert torch.equal(network.state_dict()["decoder.1.1.convolution.weight"], wanted)


def published_level(name, widths):
    state = {}
    for index, (before, after) in enumerate(pairwise(widths)):
        state[f"{name}.ops.{index}.conv1.weight"] = torch.randn(after, before, 3, 3, 3)
        state[f"{name}.ops.{index}.conv1.bias"] = torch.randn(after)
        for part in ("weight", "bias", "running_mean", "running_var"):
            state[f"{name}.ops.{index}.bn1.{part}"] = torch.randn(after)
    return state


def test_layers_named_as_in_other_peoples_files_are_not_renamed(saved):
    """A network of one's own may use names that published weights have for something else."""
    network = nn.ModuleDict({"mlp": nn.ModuleDict({"fc1": nn.Linear(2, 2)})})
    report = load_matching(network, saved(network.state_dict()))
    assert report.matched == ("mlp.fc1.weight", "mlp.fc1.bias")


def test_head_for_other_classes_keeps_its_random_start(saved):
    source, network, before = unet(classes=14), unet(seed=1), unet(seed=1)
    report = load_matching(network, saved(source.state_dict()))
    assert report.shape_differs
    assert set(report.matched) | set(report.shape_differs) == set(network.state_dict())
    for name in report.shape_differs:
        assert torch.equal(network.state_dict()[name], before.state_dict()[name])
    assert f"{len(report.shape_differs)} of another shape ({report.shape_differs[0]}" in report.text


def test_weights_of_another_network_are_refused_and_change_nothing(saved):
    network = unet()
    with pytest.raises(SettingsError, match=r"holds no weights for this network.*of no name"):
        load_matching(network, saved({"encoder.weight": torch.zeros(3)}))
    shapes = {name: torch.zeros(*tensor.shape, 2) for name, tensor in network.state_dict().items()}
    with pytest.raises(SettingsError, match=r"Choose the network and size.*trained with"):
        load_matching(network, saved(shapes))
    assert same(network, unet()) == list(network.state_dict())


class Code:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_broken_and_unsafe_files_are_refused_by_name(saved, tmp_path, capsys):
    whole = saved(unet().state_dict(), "cut.pt")
    whole.write_bytes(whole.read_bytes()[:2000])
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0")
    (tmp_path / "code.pt").write_bytes(pickle.dumps({"state_dict": Code()}))
    for name in ("cut.pt", "cut.safetensors", "code.pt"):
        with pytest.raises(SettingsError, match=rf"{name} cannot be read as weights"):
            load_matching(unet(), tmp_path / name)
    assert "never" not in capsys.readouterr().out
    with pytest.raises(SettingsError, match=r"no file of weights at .*absent\.pt"):
        load_matching(unet(), tmp_path / "absent.pt")
    with pytest.raises(SettingsError, match="holds no tensors by name"):
        load_matching(unet(), saved({"epoch": 3}, "empty.pt"))
    with pytest.raises(SettingsError, match="holds no tensors by name"):
        load_matching(unet(), saved(torch.zeros(3), "tensor.pt"))


def test_run_starts_from_given_weights_and_resumes_without_them(
    tiny_config, cases, loaded, saved, tmp_path
):
    weights = saved(unet(seed=5).state_dict())
    config = tiny_config.updated(
        {"network": {"pretrained": weights}, "training": {"learning_rate": 1e-12}}
    )
    spec = RunSpec(config=config, cases=cases(ras="training"))
    run, dataset = RunFolder(tmp_path / "run").create(spec), loaded(spec)[0]
    assert run.spec().config == config
    events = []
    for event in train(config, dataset, run=run, should_stop=lambda: len(events) > 2):
        events.append(event)  # noqa: PERF402 - the question looks at the list meanwhile
    assert isinstance(events[0], Preparing)
    assert "weights.safetensors" in events[0].message
    wanted = unet(seed=5).state_dict()
    for learned in run.load_weights("student", "teacher")[0].values():
        for name, tensor in wanted.items():
            torch.testing.assert_close(learned[name], tensor)
    weights.unlink()
    resumed = list(train(config, dataset, run=run))
    assert not any(isinstance(event, Preparing) for event in resumed)
    assert [e.step for e in resumed if isinstance(e, StepFinished)][-1] == 4
    with pytest.raises(SettingsError, match="no file of weights"):
        list(train(config, dataset))


def test_own_runs_can_be_started_from(finished_run):
    network = unet(seed=3)
    report = load_matching(network, finished_run.best_state() / "student.safetensors")
    assert report.share == 1.0
    assert report.unexpected == ("mask_token",)
