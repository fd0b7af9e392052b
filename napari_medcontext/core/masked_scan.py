"""A whole scan with part of it hidden, seen window by window."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import torch
from torch import Tensor, nn

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.device import Compute
from napari_medcontext.core.mask_grid import MaskGrid
from napari_medcontext.core.masking.sites import MaskedNetwork
from napari_medcontext.core.masking.token import MaskToken
from napari_medcontext.core.prepared import PreparedScan
from napari_medcontext.core.windows import windowed_probabilities


class MaskedScan:
    """A scan, and a mask on a grid that the network's tokens fit.

    Parameters
    ----------
    scan
        The scan to mask; its labels, where there are any, tell where structures lie.
    config
        The run's settings.
    mask_axis
        Index of the axis along which columns are hidden.
    spacing
        The run's voxel size in millimetres.
    rng
        Source of the mask's randomness.

    Attributes
    ----------
    mask : torch.Tensor
        Boolean, of the scan's own shape ``(x, y, z)``; true where hidden.
    """

    def __init__(
        self,
        scan: PreparedScan,
        config: RunConfig,
        mask_axis: int,
        spacing: tuple[float, float, float],
        rng: np.random.Generator,
    ) -> None:
        self._grid = MaskGrid(scan.image, config, spacing)
        self._window = config.data.patch_size
        labels = None if scan.labels is None else scan.labels.numpy()
        drawn = self._grid.draw(config.masking, mask_axis, rng, labels)
        self._mask = torch.as_tensor(drawn)
        self.mask = self._mask[self._grid.inner]

    def shown(self, token: MaskToken) -> Tensor:
        """Return the scan ``(x, y, z)`` as a user shall see it, with its hidden voxels hidden.

        Of several channels it is the first.
        """
        device = token.value.device
        image, mask = self._grid.image[None].to(device), self._mask[None, None].to(device)
        with torch.no_grad():
            return token.shown(image, mask)[0, 0].cpu()[self._grid.inner]

    def probabilities(
        self, network: nn.Module, token: MaskToken, compute: Compute, *, exclusive: bool = True
    ) -> Generator[float, None, Tensor]:
        """Segment the scan as masked.

        Parameters
        ----------
        network
            Maps ``(1, C, x, y, z)`` to logits.
        token
            What stands where something is hidden.
        compute
            Device and number format.
        exclusive
            As ``windowed_probabilities`` takes it.

        Yields
        ------
        float
            Share of the windows that are done.

        Returns
        -------
        torch.Tensor
            Probabilities ``(K, x, y, z)``, float32, on the CPU.
        """
        view = torch.cat([self._grid.image, self._mask[None].to(self._grid.image.dtype)])
        answer = yield from windowed_probabilities(
            [MaskedNetwork(network, token)],
            view,
            self._window,
            compute,
            overlap=self._grid.overlap,
            exclusive=exclusive,
        )
        return answer[(slice(None), *self._grid.inner)]
