import sys

import pytest
import torch
from torch import nn

from napari_medcontext.core.device import Compute
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.learner import Learner
from napari_medcontext.core.networks import (
    NETWORKS,
    build_network,
    check_patch_size,
    find_network,
    known_networks,
)
from napari_medcontext.core.sampler import Batch
from napari_medcontext.core.training_settings import NetworkSettings


def built(name, patch_size=(8, 8, 8), **settings):
    return build_network(
        NetworkSettings(name=name, **settings), channels=1, classes=3, patch_size=patch_size
    )


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return the function that writes a module which can be imported under a name."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name, source):
        (tmp_path / f"{name}.py").write_text(f"import torch\nfrom torch import nn\n{source}\n")
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    return write


def test_function_gets_those_arguments_that_it_accepts(module):
    name = module(
        "accepting",
        "given = {}\n"
        "def some(classes, size, layers=1):\n"
        "    given.update(classes=classes, size=size); return nn.Conv3d(1, classes, 1)\n"
        "def all(**settings):\n"
        "    given.update(settings); return nn.Conv3d(1, settings['classes'], 1)\n",
    )
    assert isinstance(built(f"{name}:some"), nn.Conv3d)
    assert sys.modules[name].given == {"classes": 3, "size": "small"}
    built(f"{name}:all", size="paper", patch_size=(8, 9, 10))
    given = {"classes": 3, "size": "paper", "channels": 1, "patch_size": (8, 9, 10)}
    assert sys.modules[name].given == given


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("vnet", "There is no network “vnet”; choose one of unet, .* package.module:function"),
        ("no_such_module:build", "cannot be imported: ModuleNotFoundError"),
        ("wrong:nothing", "wrong has no such name"),
        ("wrong:number", "wrong has a int of that name"),
        ("wrong:needs", "asks for depth, width. It is called with channels, classes"),
        ("wrong:fails", "cannot be built: ZeroDivisionError"),
        ("wrong:no_module", "is a str, not a torch.nn.Module"),
        ("wrong:wrong_forward", "fails on a patch of shape \\(1, 1, 8, 8, 8\\): RuntimeError"),
        ("wrong:wrong_shape", "answers with the shape \\(1, 4, 8, 8, 8\\).*\\(1, 3, 8, 8, 8\\)"),
        ("wrong:several", "answers with a tuple. In evaluation mode"),
    ],
)
def test_network_that_cannot_be_used_is_refused_with_the_reason(module, name, problem):
    module(
        "wrong",
        "number = 3\n"
        "def needs(depth, channels, width): pass\n"
        "def fails(classes): return nn.Conv3d(1, classes // 0, 1)\n"
        "def no_module(): return 'network'\n"
        "def wrong_forward(): return nn.Conv3d(2, 3, 1)\n"
        "def wrong_shape(classes): return nn.Conv3d(1, classes + 1, 1)\n"
        "class several(nn.Conv3d):\n"
        "    def __init__(self, classes): super().__init__(1, classes, 1)\n"
        "    def forward(self, image): return super().forward(image), 0\n",
    )
    with pytest.raises(SettingsError, match=f"(?s){problem}"):
        built(name)


@pytest.fixture
def installed(tmp_path, module):
    """An installed package that offers a good network and two that cannot be used."""
    module(
        "offering",
        "from napari_medcontext.core.networks import Network\n"
        "def build(size, channels, classes, patch_size): return nn.Conv3d(channels, classes, 1)\n"
        "GOOD = Network('Somebody’s', build, divisor=(2, 4, 8))\n",
    )
    info = tmp_path / "offering-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: offering\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[napari_medcontext.networks]\n"
        "somebodys = offering:GOOD\n"
        "no_network = offering:build\n"
        "gone = offering_no_more:GOOD\n"
    )


@pytest.mark.usefixtures("installed")
def test_installed_package_offers_its_networks():
    assert "somebodys" in known_networks()
    assert not {"no_network", "gone"} & set(known_networks())
    assert set(NETWORKS) < set(known_networks())
    assert isinstance(built("somebodys", patch_size=(8, 8, 8)), nn.Conv3d)
    with pytest.raises(SettingsError, match=r"\(2, 4, 8\) voxels.*\(10, 8, 8\) fits"):
        check_patch_size("somebodys", (10, 10, 10))
    with pytest.raises(SettingsError, match=r"no_network.*is a function, not a"):
        find_network("no_network")
    with pytest.raises(SettingsError, match=r"gone.*cannot be imported.*offers it"):
        find_network("gone")
    with pytest.raises(SettingsError, match=r"choose one of unet, .*somebodys"):
        find_network("somebody")


def test_network_of_somebody_else_with_flat_convolutions_learns(module, tiny_config):
    name = module(
        "slices",
        "class Slices(nn.Module):\n"
        "    def __init__(self, classes):\n"
        "        super().__init__()\n"
        "        self.flat = nn.Conv2d(1, 4, 3, padding=1)\n"
        "        self.last = nn.Conv3d(4, classes, 1)\n"
        "    def forward(self, image):\n"
        "        slices = self.flat(image.movedim(4, 1).flatten(0, 1))\n"
        "        grid = slices.view(len(image), -1, *slices.shape[1:])\n"
        "        return self.last(grid.movedim(1, 4))\n",
    )
    config = tiny_config.updated({"network": {"name": f"{name}:Slices"}})
    learner = Learner(config, 3, 2, Compute(torch.device("cpu"), "float32"))
    image = torch.randn(2, 1, *config.data.patch_size)
    assert learner.learn(Batch(image, (image > 0).float())).losses["dice_ce"] > 0
