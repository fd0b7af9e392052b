"""UNETR: a vision transformer encoder with a convolutional decoder (Hatamizadeh et al., 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import nn

SIZES: dict[str, dict[str, Any]] = {
    "small": {"feature_size": 16, "hidden_size": 192, "mlp_dim": 768, "num_heads": 6},
    "paper": {"feature_size": 16, "hidden_size": 768, "mlp_dim": 3072, "num_heads": 12},
}


def build(
    size: Literal["small", "paper"],
    channels: int,
    classes: int,
    patch_size: tuple[int, int, int],
) -> nn.Module:
    """Build MONAI's UNETR with the linear patch embedding of the released code."""
    from monai.networks.nets import UNETR

    network: nn.Module = UNETR(
        in_channels=channels,
        out_channels=classes,
        img_size=patch_size,
        proj_type="perceptron",
        norm_name="instance",
        **SIZES[size],
    )
    return network
