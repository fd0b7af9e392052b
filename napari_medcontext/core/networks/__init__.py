"""The networks, by name. Importing this registry imports no torch; building a network does.

A name is one of ``NETWORKS``, one that an installed package offers (see ``foreign``), or
``package.module:function`` for a function of your own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from napari_medcontext.core.networks import foreign
from napari_medcontext.core.networks.registry import (
    Network,
    PatchSize,
    Size,
    Tokens,
    built_by,
)

if TYPE_CHECKING:
    from torch import nn

    from napari_medcontext.core.training_settings import NetworkSettings

__all__ = [
    "NETWORKS",
    "Network",
    "PatchSize",
    "Size",
    "Tokens",
    "build_named",
    "build_network",
    "check_patch_size",
    "find_network",
    "known_networks",
    "network_names",
]


def _own(
    title: str,
    module: str,
    divisor: PatchSize,
    *,
    small: float,
    paper: float = 1e-4,
    tokens: Tokens | None = None,
) -> Network:
    rates: Mapping[Size, float] = {"small": small, "paper": paper}
    return Network(title, built_by(module), divisor, rates, own=True, tokens=tokens)


NETWORKS: Mapping[str, Network] = {
    "unet": _own("U-Net (laptop)", "unet", (16, 16, 16), small=3e-3, paper=1e-3),
    "attention_unet": _own(
        "Attention U-Net", "attention_unet", (16, 16, 16), small=3e-3, paper=1e-3
    ),
    "segresnet": _own("SegResNet", "segresnet", (8, 8, 8), small=3e-3, paper=3e-4),
    "dynunet": _own("DynUNet (nnU-Net's shape)", "dynunet", (16, 16, 16), small=3e-3, paper=1e-3),
    "pcrlv2": _own("PCRLv2 (no skip connections)", "pcrlv2", (8, 8, 8), small=2e-3, paper=1e-3),
    "unetr": _own(
        "UNETR (transformer)",
        "unetr",
        (16, 16, 16),
        small=3e-4,
        tokens=Tokens((16, 16, 16), "vit.patch_embedding.patch_embeddings", width_last=True),
    ),
    "swinunetr": _own(
        "SwinUNETR (GPU)",
        "swinunetr",
        (32, 32, 32),
        small=5e-4,
        tokens=Tokens((2, 2, 2), "swinViT.patch_embed", width_last=False),
    ),
    "nnformer": _own(
        "nnFormer (transformer)",
        "nnformer",
        (32, 32, 16),
        small=1e-3,
        tokens=Tokens((4, 4, 2), "embedding", width_last=True),
    ),
}


def known_networks() -> Mapping[str, Network]:
    """Return this package's networks, and those that installed packages offer, by name."""
    return {**foreign.offered(), **NETWORKS}


def network_names() -> tuple[str, ...]:
    """Return the names of the known networks, without importing those of other packages."""
    return tuple(dict.fromkeys([*NETWORKS, *foreign.offered_names()]))


def find_network(name: str) -> Network:
    """Return a network by name.

    Raises
    ------
    SettingsError
        For an unknown name, listing the known ones, or code that cannot be imported.
    """
    return NETWORKS.get(name) or foreign.find(name, known=tuple(NETWORKS))


def check_patch_size(name: str, patch_size: PatchSize) -> None:
    """Refuse a patch that the network cannot take, naming one that fits."""
    find_network(name).check_patch_size(name, patch_size)


def build_network(
    settings: NetworkSettings, *, channels: int, classes: int, patch_size: PatchSize
) -> nn.Module:
    """Build a network with fresh random weights.

    Parameters
    ----------
    settings
        Its name and size.
    channels, classes
        Channels of the input, classes of the output (background included).
    patch_size
        Size of the patches it will see, ``(x, y, z)`` in voxels.

    Raises
    ------
    SettingsError
        If the patch size does not fit, or a network of somebody else cannot be used.
    """
    network = find_network(settings.name)
    network.check_patch_size(settings.name, patch_size)
    if network.own:
        return network.build(settings.size, channels, classes, patch_size)
    return foreign.built_and_tried(
        network, settings.name, settings.size, channels, classes, patch_size
    )


def build_named(
    name: str, size: Size, channels: int, classes: int, patch_size: Sequence[int]
) -> nn.Module:
    """Build a network from plain values alone, as the config of a bundle holds them.

    Parameters and errors are those of ``build_network``.
    """
    from napari_medcontext.core.training_settings import NetworkSettings

    x, y, z = patch_size
    settings = NetworkSettings(name=name, size=size)
    return build_network(settings, channels=channels, classes=classes, patch_size=(x, y, z))
