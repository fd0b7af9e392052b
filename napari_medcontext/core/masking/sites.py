"""Where a network meets the mask token: in the image, or among its tokens."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.masking.blocks import VOXEL, Size, block_voxels, mask_unit
from napari_medcontext.core.masking.token import MaskToken, VoxelToken
from napari_medcontext.core.networks import Tokens, find_network

START_DEVIATION = 0.02
"""Tokens start beside zero: in networks that norm each of them, zero has no direction."""


def make_token(
    config: RunConfig,
    network: nn.Module,
    spacing: tuple[float, float, float],
    channels: int = 1,
) -> MaskToken:
    """Return a fresh mask token of the kind that the settings ask for.

    Parameters
    ----------
    config
        The run's settings.
    network
        Its network, for the width of its tokens; the mask token is put on its device.
    spacing
        The run's voxel size in millimetres, for blocks given in millimetres.
    channels
        Channels of the image.

    Raises
    ------
    SettingsError
        If tokens shall be hidden from a network that has none.
    """
    device = next(network.parameters()).device
    unit = mask_unit(config)
    block = None
    if config.masking.token == "block":
        block = block_voxels(config.masking, spacing, unit)
    if unit == VOXEL:
        return VoxelToken(channels, block).to(device)
    tokens = find_network(config.network.name).tokens
    assert tokens is not None
    width = _width(network, tokens, channels, config.data.patch_size)
    return EmbeddingToken(width, tokens, block).to(device)


class EmbeddingToken(MaskToken):
    """Hide tokens of a network before their position is added, so that they keep it.

    What a network reads beside its tokens, such as UNETR's first skip connection, still sees
    the hidden voxels.

    Parameters
    ----------
    width
        Features of a token.
    tokens
        Where the network has them.
    block
        Sides in voxels of a learnable block of tokens; ``None`` learns one token.
    """

    def __init__(self, width: int, tokens: Tokens, block: Size | None = None) -> None:
        sides = [-(-b // s) for b, s in zip(block, tokens.size, strict=True)] if block else []
        super().__init__(torch.randn(width, *sides) * START_DEVIATION)
        self._tokens = tokens

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Return the image as it is."""
        return image

    def shown(self, image: Tensor, mask: Tensor) -> Tensor:
        """Return the image with the voxels of hidden tokens black."""
        return torch.where(mask, image.amin(), image)

    @contextlib.contextmanager
    def hiding(self, network: nn.Module, mask: Tensor) -> Iterator[None]:
        """Replace the tokens of the last samples wherever their voxels are hidden."""
        # A mask keeps to whole tokens, so that any voxel of a token tells of all.
        x, y, z = self._tokens.size
        hidden = mask[:, :, ::x, ::y, ::z]

        def replace(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
            return self._replaced(output, hidden)

        embedding = network.get_submodule(self._tokens.embedding)
        handle = embedding.register_forward_hook(replace)
        try:
            yield
        finally:
            handle.remove()

    def _replaced(self, output: Tensor, hidden: Tensor) -> Tensor:
        x, y, z = hidden.shape[2:]
        stand_in = self._tiled((x, y, z)).to(output.dtype).expand(-1, x, y, z)
        seen, last = output[: len(output) - len(hidden)], output[len(output) - len(hidden) :]
        if self._tokens.width_last:
            hidden = hidden[:, 0].reshape(*last.shape[:-1], 1)
            stand_in = stand_in.movedim(0, -1).reshape(last.shape[1:])
        return torch.cat([seen, torch.where(hidden, stand_in, last)])


class MaskedNetwork(nn.Module):
    """A network that hides part of what it is given, by a mask that comes along as a channel.

    So a scan can be masked as a whole and still be seen window by window.

    Parameters
    ----------
    network
        Maps ``(B, C, x, y, z)`` to logits.
    token
        What stands where something is hidden.
    """

    def __init__(self, network: nn.Module, token: MaskToken) -> None:
        super().__init__()
        self.network, self.token = network, token

    def forward(self, image_and_mask: Tensor) -> Any:
        """Return the network's answer to ``(B, C + 1, x, y, z)``, the last channel the mask."""
        image, mask = image_and_mask[:, :-1], image_and_mask[:, -1:] > 0
        with self.token.hiding(self.network, mask):
            return self.network(self.token(image, mask))


def _width(network: nn.Module, tokens: Tokens, channels: int, patch_size: Size) -> int:
    """Return the width of a network's tokens, and make sure that they lie as it is said."""
    part = network.get_submodule(tokens.embedding)
    device = next(network.parameters()).device
    training = part.training
    with torch.no_grad():
        shape = part.eval()(torch.zeros(1, channels, *patch_size, device=device)).shape
    part.train(training)
    grid = tuple(side // own for side, own in zip(patch_size, tokens.size, strict=True))
    where, width = (shape[1:-1], shape[-1]) if tokens.width_last else (shape[2:], shape[1])
    if tuple(where) not in (grid, (math.prod(grid),)):
        raise SettingsError(
            f"“{tokens.embedding}” of {type(network).__name__} gives {tuple(shape)} for a patch "
            f"of {patch_size} voxels, not one token for each {tokens.size} voxels. Correct the "
            "network's entry, or set the mask site to voxels."
        )
    return int(width)
