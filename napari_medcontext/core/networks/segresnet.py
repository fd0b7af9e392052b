"""SegResNet: a residual encoder that is heavier than its decoder (Myronenko, 2018)."""

from __future__ import annotations

from typing import Any

from monai.networks.nets import SegResNet
from torch import nn

from napari_medcontext.core.networks.registry import PatchSize, Size

FILTERS = {"small": 8, "paper": 32}


def arguments(size: Size, channels: int, classes: int, patch_size: PatchSize) -> dict[str, Any]:
    """Return what MONAI's SegResNet is built from."""
    return {
        "spatial_dims": 3,
        "in_channels": channels,
        "out_channels": classes,
        "init_filters": FILTERS[size],
        "blocks_down": (1, 2, 2, 4),
        "blocks_up": (1, 1, 1),
    }


def build(size: Size, channels: int, classes: int, patch_size: PatchSize) -> nn.Module:
    """Build MONAI's SegResNet, with the four levels and the group norm of the publication.

    The variational branch of the publication, which rebuilds the scan, is left out.
    """
    network: nn.Module = SegResNet(**arguments(size, channels, classes, patch_size))
    return network
