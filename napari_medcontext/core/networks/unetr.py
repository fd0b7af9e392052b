"""UNETR: a vision transformer encoder with a convolutional decoder (Hatamizadeh et al., 2022)."""

from __future__ import annotations

from typing import Any

from monai.networks.nets import UNETR
from torch import nn

from napari_medcontext.core.networks.registry import PatchSize, Size

SIZES: dict[str, dict[str, Any]] = {
    "small": {"feature_size": 16, "hidden_size": 192, "mlp_dim": 768, "num_heads": 6},
    "paper": {"feature_size": 16, "hidden_size": 768, "mlp_dim": 3072, "num_heads": 12},
}


def arguments(size: Size, channels: int, classes: int, patch_size: PatchSize) -> dict[str, Any]:
    """Return what MONAI's UNETR is built from."""
    return {
        "in_channels": channels,
        "out_channels": classes,
        "img_size": patch_size,
        "proj_type": "perceptron",
        "norm_name": "instance",
        **SIZES[size],
    }


def build(size: Size, channels: int, classes: int, patch_size: PatchSize) -> nn.Module:
    """Build MONAI's UNETR with the linear patch embedding of the released code."""
    network: nn.Module = UNETR(**arguments(size, channels, classes, patch_size))
    return network
