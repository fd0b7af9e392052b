"""DynUNet: a U-Net of nnU-Net's shape, with deep supervision (Isensee et al., 2021)."""

from __future__ import annotations

from typing import Any

import torch
from monai.networks.nets import DynUNet
from torch import Tensor, nn

from napari_medcontext.core.networks.registry import PatchSize, Size
from napari_medcontext.core.outputs import Outputs

FILTERS = {"small": (8, 16, 32, 64, 128), "paper": (32, 64, 128, 256, 320)}
COARSER_OUTPUTS = 2
REGISTERED_TWICE = (
    "input_block",
    "downsamples",
    "bottleneck",
    "upsamples",
    "deep_supervision_heads",
)
"""MONAI's network holds these parts a second time, which would double every file of weights."""


class DeeplySupervisedDynUNet(DynUNet):  # type: ignore[misc]
    """MONAI's DynUNet, giving its coarser outputs at their own resolution.

    MONAI enlarges them to the finest one's size, which costs time and memory for nothing: at
    their own resolution the labels are just as good.

    Parameters
    ----------
    **given
        What MONAI's network is built from.
    """

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        for name in REGISTERED_TWICE:
            delattr(self, name)

    def forward(self, image: Tensor) -> Outputs:
        """Return logits; in training mode those at a half and a quarter of the sides too."""
        finest: Tensor = self.output_block(self.skip_layers(image))
        coarser: list[Tensor] = list(self.heads)
        # MONAI's layers write here at each pass; kept, they would hold its whole graph.
        self.heads[:] = [torch.empty(0)] * len(coarser)
        return [finest, *coarser] if self.training else finest


def arguments(size: Size, channels: int, classes: int, patch_size: PatchSize) -> dict[str, Any]:
    """Return what MONAI's DynUNet is built from."""
    filters = FILTERS[size]
    strides = (1, *[2] * (len(filters) - 1))
    return {
        "spatial_dims": 3,
        "in_channels": channels,
        "out_channels": classes,
        "kernel_size": (3,) * len(filters),
        "strides": strides,
        "upsample_kernel_size": strides[1:],
        "filters": filters,
        "deep_supervision": True,
        "deep_supr_num": COARSER_OUTPUTS,
    }


def build(size: Size, channels: int, classes: int, patch_size: PatchSize) -> nn.Module:
    """Build a U-Net of five levels with two convolutions each and instance norm."""
    return DeeplySupervisedDynUNet(**arguments(size, channels, classes, patch_size))
