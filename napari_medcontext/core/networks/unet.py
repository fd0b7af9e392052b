"""A residual 3D U-Net that trains on a laptop's processor."""

from __future__ import annotations

from typing import Any

from monai.networks.nets import UNet
from torch import nn

from napari_medcontext.core.networks.registry import PatchSize, Size

CHANNELS = {"small": (16, 32, 64, 128, 256), "paper": (32, 64, 128, 256, 512)}


def arguments(size: Size, channels: int, classes: int, patch_size: PatchSize) -> dict[str, Any]:
    """Return what MONAI's U-Net is built from."""
    return {
        "spatial_dims": 3,
        "in_channels": channels,
        "out_channels": classes,
        "channels": CHANNELS[size],
        "strides": (2, 2, 2, 2),
        "num_res_units": 2,
        "norm": "instance",
    }


def build(size: Size, channels: int, classes: int, patch_size: PatchSize) -> nn.Module:
    """Build MONAI's U-Net: five levels, two convolutions in each residual unit.

    Its first convolution already halves the resolution, which makes a step three to eight
    times faster on a processor than networks that keep full resolution there.
    """
    network: nn.Module = UNet(**arguments(size, channels, classes, patch_size))
    return network
