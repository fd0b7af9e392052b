"""The networks, by name. Importing this registry imports no torch; building a network does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.networks import swinunetr, unet, unetr

if TYPE_CHECKING:
    from torch import nn

    from napari_medcontext.core.config import NetworkSettings

Size = Literal["small", "paper"]
PatchSize = tuple[int, int, int]


@dataclass(frozen=True)
class Network:
    """What is known of a network before it is built.

    Parameters
    ----------
    title
        What a user reads in the list.
    build
        ``build(size, channels, classes, patch_size)`` returns a module that maps
        ``(B, channels, x, y, z)`` to logits ``(B, classes, x, y, z)``.
    divisor
        Each side of a patch must be a multiple of this many voxels.
    learning_rate
        AdamW's step size that suits each of its sizes.
    """

    title: str
    build: Callable[[Size, int, int, PatchSize], nn.Module]
    divisor: int
    learning_rate: Mapping[Size, float]


NETWORKS: Mapping[str, Network] = {
    "unet": Network("U-Net (laptop)", unet.build, 16, {"small": 3e-3, "paper": 1e-3}),
    "unetr": Network("UNETR (transformer)", unetr.build, 16, {"small": 3e-4, "paper": 1e-4}),
    "swinunetr": Network("SwinUNETR (GPU)", swinunetr.build, 32, {"small": 5e-4, "paper": 1e-4}),
}


def find_network(name: str) -> Network:
    """Return a network by name.

    Raises
    ------
    SettingsError
        For an unknown name, listing the known ones.
    """
    if name not in NETWORKS:
        raise SettingsError(f"There is no network “{name}”; choose one of {', '.join(NETWORKS)}.")
    return NETWORKS[name]


def check_patch_size(name: str, patch_size: PatchSize) -> None:
    """Refuse a patch that the network cannot take, naming one that fits."""
    divisor = find_network(name).divisor
    if any(side % divisor for side in patch_size):
        fitting = tuple(max(divisor, round(side / divisor) * divisor) for side in patch_size)
        raise SettingsError(
            f"{name} needs a patch size of multiples of {divisor} voxels, not {patch_size}; "
            f"{fitting} fits."
        )
    if all(side == divisor for side in patch_size):
        # One voxel at the coarsest level has no neighbours, and no statistics to normalise by.
        raise SettingsError(
            f"A patch of {patch_size} voxels is too small for {name}: nothing is left of it at the "
            f"coarsest level. {(2 * divisor, divisor, divisor)} fits."
        )


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
    """
    check_patch_size(settings.name, patch_size)
    return find_network(settings.name).build(settings.size, channels, classes, patch_size)
