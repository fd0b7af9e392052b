"""SwinUNETR: a shifted-window transformer encoder (Hatamizadeh et al., 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn

FEATURES = {"small": 12, "paper": 48}


def build(
    size: Literal["small", "paper"],
    channels: int,
    classes: int,
    patch_size: tuple[int, int, int],
) -> nn.Module:
    """Build MONAI's SwinUNETR; the paper's size recomputes activations to save memory."""
    from monai.networks.nets import SwinUNETR

    network: nn.Module = SwinUNETR(
        in_channels=channels,
        out_channels=classes,
        feature_size=FEATURES[size],
        use_checkpoint=size == "paper",
        spatial_dims=3,
    )
    return network
