"""nnFormer: a transformer for volumes with attention in place of skip connections.

Zhou et al., "nnFormer: Volumetric Medical Image Segmentation via a 3D Transformer", 2023,
arXiv 2109.03201. Convolutions embed the scan and change its resolution; in between, pairs of
transformer blocks look within boxes, moved boxes and, where a box is the whole volume, at all.
Features are ``(B, x, y, z, C)`` throughout, with x, y, z in tokens.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from napari_medcontext.core.networks.registry import PatchSize, Size
from napari_medcontext.core.networks.volume_attention import Level, Sides
from napari_medcontext.core.outputs import Outputs

TOKEN = (4, 4, 2)
"""Voxels of a token along x, y, z: the publication's slices are thick."""
STRIDES = ((2, 2, 2), (2, 2, 1))
BOXES = (4, 4, 8, 4)
"""Side of an attention box at each level, in tokens."""
SIZES: dict[Size, dict[str, Any]] = {
    "small": {"width": 48, "heads": 3, "skipped": 0.0},
    "paper": {"width": 192, "heads": 6, "skipped": 0.2},
}


class nnFormer(nn.Module):
    """Encoder, decoder with skip attention, and a head for each level of the decoder.

    Parameters
    ----------
    channels, classes
        Channels of the input, classes of the output.
    patch_size
        Size of the patches in voxels; the network takes no other.
    width, heads
        Channels and attention heads of the finest level; each next has twice as many.
    skipped
        Share of the samples that skip the last block while it trains; earlier blocks less.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        patch_size: PatchSize,
        *,
        width: int,
        heads: int,
        skipped: float,
    ) -> None:
        super().__init__()
        levels = range(len(BOXES))
        upwards = levels[-2::-1]
        widths = [width * 2**level for level in levels]

        def level(index: int, turn: int, turns: int, *, asked: bool) -> Level:
            return Level(
                widths[index],
                heads * 2**index,
                _sides(patch_size, index),
                BOXES[index],
                skipped=_rising(skipped, turn, turns),
                asked=asked,
            )

        self.embedding = Embedding(channels, width)
        self.encoder = nn.ModuleList(level(i, i, len(levels), asked=False) for i in levels)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in widths)
        self.shrink = nn.ModuleList(Shrink(width) for width in widths[:-1])
        self.enlarge = nn.ModuleList(Enlarge(widths[i + 1]) for i in upwards)
        self.decoder = nn.ModuleList(
            level(i, turn, len(upwards), asked=True) for turn, i in enumerate(upwards)
        )
        self.heads = nn.ModuleList(
            nn.ConvTranspose3d(widths[i], classes, TOKEN, stride=TOKEN) for i in upwards
        )

    def forward(self, image: Tensor) -> Outputs:
        """Return logits; in training mode those at a half and a quarter of the sides too."""
        features = self.embedding(image)
        skips = []
        for index, level in enumerate(self.encoder):
            if index:
                features = self.shrink[index - 1](features)
            features = level(features)
            skips.append(self.norms[index](features))
        features = skips.pop()
        outputs: list[Tensor] = []
        for enlarge, level, head in zip(self.enlarge, self.decoder, self.heads, strict=True):
            features = level(skips.pop(), asking=enlarge(features))
            if self.training or not skips:
                outputs.insert(0, head(_channels_first(features)))
        return outputs if self.training else outputs[0]


class Embedding(nn.Module):
    """Four convolutions that turn a scan into tokens; two of them lower the resolution."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        half = width // 2
        self.convolutions = nn.ModuleList(
            [
                nn.Conv3d(channels, half, 3, stride=STRIDES[0], padding=1),
                nn.Conv3d(half, half, 3, padding=1),
                nn.Conv3d(half, width, 3, stride=STRIDES[1], padding=1),
                nn.Conv3d(width, width, 3, padding=1),
            ]
        )
        self.norms = nn.ModuleList(nn.LayerNorm(size) for size in (half, half, width, width))

    def forward(self, image: Tensor) -> Tensor:
        """Return tokens."""
        last = len(self.convolutions) - 1
        features = image
        for index, (convolution, norm) in enumerate(
            zip(self.convolutions, self.norms, strict=True)
        ):
            tokens = _channels_last(convolution(features))
            tokens = norm(tokens if index == last else functional.gelu(tokens))
            features = _channels_first(tokens)
        return tokens


class Shrink(nn.Module):
    """Halve the sides and double the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.convolution = nn.Conv3d(width, 2 * width, 3, stride=2, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the next coarser level."""
        normed = self.norm(functional.gelu(features))
        return _channels_last(self.convolution(_channels_first(normed)))


class Enlarge(nn.Module):
    """Double the sides and halve the channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.convolution = nn.ConvTranspose3d(width, width // 2, 2, stride=2)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the next finer level."""
        return _channels_last(self.convolution(_channels_first(self.norm(features))))


def build(size: Size, channels: int, classes: int, patch_size: PatchSize) -> nn.Module:
    """Build the network in the publication's size (for its Synapse trainer) or a small one."""
    return nnFormer(channels, classes, patch_size, **SIZES[size])


def _rising(last: float, turn: int, turns: int) -> tuple[float, float]:
    """Return the shares of a level's two blocks, which rise from 0 to the last block's."""
    step = last / (2 * turns - 1)
    return 2 * turn * step, (2 * turn + 1) * step


def _sides(patch_size: PatchSize, level: int) -> Sides:
    x, y, z = (side // voxels // 2**level for side, voxels in zip(patch_size, TOKEN, strict=True))
    return x, y, z


def _channels_first(features: Tensor) -> Tensor:
    return features.permute(0, 4, 1, 2, 3)


def _channels_last(features: Tensor) -> Tensor:
    return features.permute(0, 2, 3, 4, 1)
