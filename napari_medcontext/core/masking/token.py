"""What stands where a scan is hidden: the learnable mask token, H_ξ in Eq. 1."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor, nn

from napari_medcontext.core.masking.blocks import Size


class MaskToken(nn.Module):
    """A learnable stand-in for what is hidden, and how a network gets to see it.

    Parameters
    ----------
    value
        Where learning starts: a value a channel ``(C,)``, or a block of them
        ``(C, x, y, z)``, which repeats from the first corner of the sample on.
    """

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = nn.Parameter(value)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Return what the network is given in place of the image.

        Parameters
        ----------
        image
            Shape ``(B, C, x, y, z)``.
        mask
            Boolean, shape ``(B, 1, x, y, z)``; true where hidden.
        """
        raise NotImplementedError

    def hiding(self, network: nn.Module, mask: Tensor) -> contextlib.AbstractContextManager[object]:
        """Return a context in which a network hides what its input cannot.

        Parameters
        ----------
        network
            What sees the masked view.
        mask
            As for ``forward``. It is for the last samples of each batch that the network
            computes inside the context; those before are seen whole.
        """
        raise NotImplementedError

    def shown(self, image: Tensor, mask: Tensor) -> Tensor:
        """Return the image as a user shall see it, with its hidden voxels hidden."""
        return self(image, mask)  # type: ignore[no-any-return]

    def _tiled(self, shape: Size) -> Tensor:
        """Return the stand-in for a whole sample, ``(C, x, y, z)``, or a size that spreads."""
        if self.value.ndim == 1:
            return self.value.view(-1, 1, 1, 1)
        counts = [-(-side // own) for side, own in zip(shape, self.value.shape[1:], strict=True)]
        x, y, z = shape
        return self.value.repeat(1, *counts)[:, :x, :y, :z]


class VoxelToken(MaskToken):
    """Hide voxels of the image, which works with any network and leaks nothing.

    Parameters
    ----------
    channels
        Channels of the image.
    block
        Sides of a learnable block in voxels; ``None`` learns one value a channel.
    """

    def __init__(self, channels: int, block: Size | None = None) -> None:
        super().__init__(torch.zeros(channels, *(block or ())))

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Return X ∘ (1 − I) + H_ξ ∘ I (Eq. 1)."""
        _, _, x, y, z = image.shape
        return torch.where(mask, self._tiled((x, y, z)).to(image.dtype), image)

    def hiding(self, network: nn.Module, mask: Tensor) -> contextlib.AbstractContextManager[object]:
        """Do nothing: the image has hidden it all."""
        return contextlib.nullcontext()
