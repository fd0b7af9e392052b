"""Where a scan can be hidden so that the windows and tokens of a network fit the hidden part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.masking import draw_mask, mask_unit, whole_units
from napari_medcontext.core.method_settings import MaskingSettings
from napari_medcontext.core.padding import padded_to
from napari_medcontext.core.windows import Box, Size

Mask = npt.NDArray[np.bool_]
OVERLAPS = (0.25, 0.5, 0.0)
"""The first that fits: windows overlap less than in prediction, since this should cost little."""


class MaskGrid:
    """A scan's grid, continued beyond its edges to whole tokens and at least one window.

    Parameters
    ----------
    image
        The prepared scan, shape ``(x, y, z)``.
    config
        The run's settings.
    spacing
        The run's voxel size in millimetres.
    overlaps
        By how much of a window the next may overlap; the first that fits the tokens is taken.

    Attributes
    ----------
    image : torch.Tensor
        The scan on this grid, its edges continued.
    shape : tuple of int
        That of the grid, along x, y, z.
    inner : tuple of slice
        Where the scan lies on it.
    overlap : float
        By how much windows overlap; each starts with a whole token.
    """

    def __init__(
        self,
        image: Tensor,
        config: RunConfig,
        spacing: tuple[float, float, float],
        overlaps: Sequence[float] = OVERLAPS,
    ) -> None:
        window = config.data.patch_size
        self._unit, self._spacing = mask_unit(config), spacing
        self.overlap = _fitting(overlaps, window, self._unit)
        self._drawn_shape = whole_units(image.shape[1:], self._unit, window)
        x, y, z = map(max, self._drawn_shape, window)
        self.image, inner = padded_to(image, (x, y, z))
        self.inner: Box = (inner[0], inner[1], inner[2])
        self.shape: Size = (self.image.shape[1], self.image.shape[2], self.image.shape[3])

    def draw(
        self,
        masking: MaskingSettings,
        axis: int,
        rng: np.random.Generator,
        labels: npt.NDArray[Any] | None = None,
    ) -> Mask:
        """Draw a mask as settings say, in units that the network's tokens fit.

        Parameters
        ----------
        masking
            Scheme, ratio and size; its site and token do not count.
        axis
            Index of the axis along which columns run.
        rng
            Source of randomness.
        labels
            Class indices of the scan, for the scheme ``"structure"``.

        Returns
        -------
        numpy.ndarray
            Boolean, shape ``shape``; ``cropped`` brings it to the scan's.

        Raises
        ------
        SettingsError
            If blocks would cut tokens.
        """
        if labels is not None:
            labels = padded_to(torch.as_tensor(labels), self._drawn_shape)[0].numpy()
        # What continues a scan up to a window is no part of it: the ratio counts without it.
        drawn = draw_mask(
            masking,
            self._drawn_shape,
            spacing=self._spacing,
            axis=axis,
            rng=rng,
            labels=labels,
            unit=self._unit,
        )
        if not self._is_whole(drawn):
            raise SettingsError(
                f"This run hides tokens of {self._unit} voxels, and blocks of "
                f"{masking.block_size} would cut through them. Choose a mask block size that is a "
                "multiple of that."
            )
        return padded_to(torch.as_tensor(drawn), self.shape)[0].numpy()

    def boxed(self, box: Box) -> Mask:
        """Return a mask that hides a box, given on the scan's own grid, and whole tokens.

        What continues the scan beyond an edge that the box touches is hidden too: it repeats
        what lies there.
        """
        sides = []
        for side, inner, whole, grain in zip(box, self.inner, self.shape, self._unit, strict=True):
            start, stop = side.start + inner.start, side.stop + inner.start
            start = 0 if start <= inner.start else start // grain * grain
            stop = whole if stop >= inner.stop else -(-stop // grain) * grain
            sides.append(slice(start, min(stop, whole)))
        mask = np.zeros(self.shape, dtype=bool)
        mask[tuple(sides)] = True
        return mask

    def cropped(self, mask: Mask) -> Mask:
        """Return that part of a mask that lies on the scan."""
        return mask[self.inner]

    def _is_whole(self, mask: Mask) -> bool:
        x, y, z = self._unit
        first = mask[::x, ::y, ::z]
        spread = first.repeat(x, 0).repeat(y, 1).repeat(z, 2)
        return bool((spread == mask).all())


def _fitting(overlaps: Sequence[float], window: Size, unit: Size) -> float:
    """Return the first of some overlaps with which each window starts with a whole token."""
    return next(
        overlap
        for overlap in overlaps
        if all(int(w * (1 - overlap)) % grain == 0 for w, grain in zip(window, unit, strict=True))
    )
