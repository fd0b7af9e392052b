"""SwinUNETR: a shifted-window transformer encoder (Hatamizadeh et al., 2022)."""

from __future__ import annotations

from typing import Any

from monai.networks.nets import SwinUNETR
from torch import nn

from napari_medcontext.core.networks.registry import PatchSize, Size

PUBLISHED_NAMES = (
    (r"\bmlp\.fc([12])\.", r"mlp.linear\1."),
    (r"\b(layers\d\.0)\.0\.", r"\1."),
)
"""How weights that were trained by self-supervision name some layers, and how MONAI does."""

FEATURES = {"small": 12, "paper": 48}


def arguments(size: Size, channels: int, classes: int, patch_size: PatchSize) -> dict[str, Any]:
    """Return what MONAI's SwinUNETR is built from."""
    return {
        "in_channels": channels,
        "out_channels": classes,
        "feature_size": FEATURES[size],
        "use_checkpoint": size == "paper",
        "spatial_dims": 3,
    }


def build(size: Size, channels: int, classes: int, patch_size: PatchSize) -> nn.Module:
    """Build MONAI's SwinUNETR; the paper's size recomputes activations to save memory."""
    network: nn.Module = SwinUNETR(**arguments(size, channels, classes, patch_size))
    return network
