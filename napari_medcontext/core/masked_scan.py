"""A whole scan with part of it hidden, seen window by window."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.device import Compute
from napari_medcontext.core.masking import draw_mask, mask_unit, whole_units
from napari_medcontext.core.masking.sites import MaskedNetwork
from napari_medcontext.core.masking.token import MaskToken
from napari_medcontext.core.padding import padded_to
from napari_medcontext.core.prepared import PreparedScan
from napari_medcontext.core.windows import windowed_probabilities

OVERLAPS = (0.25, 0.5, 0.0)
"""The first that fits: windows overlap less than in prediction, since this should cost little."""

Size = tuple[int, int, int]


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
        unit = mask_unit(config)
        self._window = config.data.patch_size
        self._overlap = fitting_overlap(self._window, unit)
        least = whole_units(scan.image.shape, unit, self._window)
        self._image, self._inner = padded_to(scan.image, least)
        labels = None if scan.labels is None else padded_to(scan.labels, least)[0].numpy()
        x, y, z = self._image.shape
        drawn = draw_mask(
            config.masking,
            (x, y, z),
            spacing=spacing,
            axis=mask_axis,
            rng=rng,
            labels=labels,
            unit=unit,
        )
        self._mask = torch.as_tensor(drawn)
        self.mask = self._mask[self._inner]

    def shown(self, token: MaskToken) -> Tensor:
        """Return the scan ``(x, y, z)`` as a user shall see it, with its hidden voxels hidden."""
        device = token.value.device
        image, mask = self._image[None, None].to(device), self._mask[None, None].to(device)
        with torch.no_grad():
            return token.shown(image, mask)[0, 0].cpu()[self._inner]

    def probabilities(
        self, network: nn.Module, token: MaskToken, compute: Compute, *, exclusive: bool = True
    ) -> Generator[float, None, Tensor]:
        """Segment the scan as masked.

        Parameters
        ----------
        network
            Maps ``(1, 1, x, y, z)`` to logits.
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
        view = torch.stack([self._image, self._mask.to(self._image.dtype)])
        answer = yield from windowed_probabilities(
            [MaskedNetwork(network, token)],
            view,
            self._window,
            compute,
            overlap=self._overlap,
            exclusive=exclusive,
        )
        return answer[(slice(None), *self._inner)]


def fitting_overlap(window: Size, unit: Size, overlaps: Sequence[float] = OVERLAPS) -> float:
    """Return the first of some overlaps with which each window starts with a whole token."""
    return next(
        overlap
        for overlap in overlaps
        if all(int(w * (1 - overlap)) % grain == 0 for w, grain in zip(window, unit, strict=True))
    )
