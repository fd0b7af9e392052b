"""Attention U-Net: skip connections behind gates (Oktay et al., 2018, arXiv 1804.03999)."""

from __future__ import annotations

from typing import Any

from monai.networks.nets import AttentionUnet
from torch import nn

from napari_medcontext.core.networks.registry import PatchSize, Size

CHANNELS = {"small": (8, 16, 32, 64, 128), "paper": (32, 64, 128, 256, 512)}


def arguments(size: Size, channels: int, classes: int, patch_size: PatchSize) -> dict[str, Any]:
    """Return what MONAI's Attention U-Net is built from."""
    return {
        "spatial_dims": 3,
        "in_channels": channels,
        "out_channels": classes,
        "channels": CHANNELS[size],
        "strides": (2, 2, 2, 2),
    }


def build(size: Size, channels: int, classes: int, patch_size: PatchSize) -> nn.Module:
    """Build MONAI's Attention U-Net, which keeps full resolution at its finest level.

    It normalises over the batch, so the plain and the masked view go through it one by one.
    """
    network: nn.Module = AttentionUnet(**arguments(size, channels, classes, patch_size))
    return network
