"""PCRLv2's 3D network, an encoder-decoder without skip connections.

Zhou et al., "A Unified Visual Information Preservation Framework for Self-supervised
Pre-training in Medical Image Analysis", 2023, arXiv 2301.00772. It is the network that is
fine-tuned there: the heads of the pre-training are left out, and so is the final sigmoid.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from napari_medcontext.core.networks.registry import PatchSize, Size

WIDTHS = {"small": (8, 16, 32, 64), "paper": (64, 128, 256, 512)}
GROUPS = 8

_PARTS = (
    *((f"down_tr{width}", f"encoder.{level}") for level, width in enumerate(WIDTHS["paper"])),
    *((f"up_tr{width}", f"decoder.{turn}") for turn, width in enumerate((256, 128, 64))),
)
PUBLISHED_NAMES = (
    *((rf"\b{theirs}\.ops\.(\d)\.conv1\.", rf"{ours}.\1.convolution.") for theirs, ours in _PARTS),
    *((rf"\b{theirs}\.ops\.(\d)\.bn1\.", rf"{ours}.\1.norm.") for theirs, ours in _PARTS),
    *((rf"\bup_tr{w}\.up_conv\.", f"enlarge.{turn}.") for turn, w in enumerate((256, 128, 64))),
    (r"\bout_tr\.final_conv\.", "head."),
)
"""How the published weights name the layers, and how this network does."""


class Convolution(nn.Sequential):
    """A 3×3×3 convolution with group norm and ReLU."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(channels, features, 3, padding=1)
        self.norm = nn.GroupNorm(GROUPS, features)
        self.activation = nn.ReLU(inplace=True)


class PCRLv2(nn.Module):
    """Four levels with two convolutions each; what the decoder knows comes from below alone.

    Group norm, where the publication leaves the choice between it and batch norm, computes
    each sample by itself, so that the plain and the masked view can share one pass.

    Parameters
    ----------
    channels, classes
        Channels of the input, classes of the output.
    widths
        Channels of each level, finest first.
    """

    def __init__(self, channels: int, classes: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        incoming = (channels, *widths)
        # The encoder widens in the second convolution of a level, the decoder narrows in the first.
        self.encoder = nn.ModuleList(
            nn.Sequential(
                Convolution(before, max(after // 2, GROUPS)),
                Convolution(max(after // 2, GROUPS), after),
            )
            for before, after in pairwise(incoming)
        )
        self.shrink = nn.MaxPool3d(2)
        self.enlarge = nn.ModuleList(
            nn.ConvTranspose3d(width, width, 2, stride=2) for width in widths[:0:-1]
        )
        self.decoder = nn.ModuleList(
            nn.Sequential(Convolution(coarse, fine), Convolution(fine, fine))
            for coarse, fine in pairwise(widths[::-1])
        )
        self.head = nn.Conv3d(widths[0], classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(B, classes, x, y, z)``."""
        features = self.encoder[0](image)
        for level in self.encoder[1:]:
            features = level(self.shrink(features))
        for enlarge, level in zip(self.enlarge, self.decoder, strict=True):
            features = level(enlarge(features))
        logits: Tensor = self.head(features)
        return logits


def build(size: Size, channels: int, classes: int, patch_size: PatchSize) -> nn.Module:
    """Build the network in its published or a small width."""
    return PCRLv2(channels, classes, WIDTHS[size])
