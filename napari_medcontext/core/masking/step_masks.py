"""The masks of a training's steps: the same whenever, and in however many processes, it learns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.masking.blocks import mask_unit
from napari_medcontext.core.masking.schemes import draw_mask
from napari_medcontext.core.parallel.team import Team
from napari_medcontext.core.volume import Spacing

MASK_STREAM = 1
"""Keeps the masks' random numbers apart from the patches' of the same seed and step."""


class StepMasks:
    """Draw what is hidden of each sample of a batch (Eq. 1).

    Parameters
    ----------
    config
        The run's settings.
    axis
        Index of the axis along which columns are hidden.
    spacing
        The run's voxel size in mm, which turns mask blocks in millimetres into voxels.
    team
        The processes that learn together: batches are this one's share of theirs.
    """

    def __init__(self, config: RunConfig, axis: int, spacing: Spacing, team: Team) -> None:
        self._masking, self._unit = config.masking, mask_unit(config)
        self._seed = config.training.seed
        self._axis, self._spacing = axis, spacing
        self._team = team

    def draw(
        self,
        step: int,
        batch_size: int,
        shape: tuple[int, int, int],
        labels: Tensor | None = None,
    ) -> Tensor:
        """Return one mask a sample, ``(B, 1, x, y, z)``, on the CPU.

        A mask depends on the seed, the step and the sample's place in the batch alone, and
        where structures are hidden on that sample's labels, ``(B, 1, x, y, z)``.
        """
        known: Sequence[npt.NDArray[np.uint8] | None] = [None] * batch_size
        if labels is not None and self._masking.scheme == "structure":
            known = list(labels[:, 0].to("cpu", torch.uint8).numpy())
        drawn = [
            draw_mask(
                self._masking,
                shape,
                spacing=self._spacing,
                axis=self._axis,
                rng=np.random.default_rng([self._seed, step, index, MASK_STREAM]),
                labels=known[place],
                unit=self._unit,
            )
            for place, index in enumerate(self._team.own(batch_size * self._team.size))
        ]
        return torch.as_tensor(np.stack(drawn))[:, None]
