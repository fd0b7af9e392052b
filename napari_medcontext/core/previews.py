"""What a user sees while it learns: one scan, plain and masked, through student and teacher."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from napari_medcontext.core.classes import Classes
from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.device import Compute
from napari_medcontext.core.events import Array, PreviewReady
from napari_medcontext.core.inference import drained, windowed_probabilities
from napari_medcontext.core.learner import Learner
from napari_medcontext.core.masking import draw_tubes
from napari_medcontext.core.prepared import PreparedScan

OVERLAP = 0.25
"""Windows overlap less than in prediction: a preview should cost little."""


class PreviewMaker:
    """Make previews of one scan; the same columns are hidden in all of them.

    Parameters
    ----------
    scan
        The scan to show.
    classes
        For the user's own class ids.
    config
        The run's settings.
    mask_axis
        Index of the axis along which columns are hidden.
    compute
        Device and number format.
    """

    def __init__(
        self,
        scan: PreparedScan,
        classes: Classes,
        config: RunConfig,
        mask_axis: int,
        compute: Compute,
    ) -> None:
        self._scan = scan
        self._classes = classes
        self._window = config.data.patch_size
        self._compute = compute
        x, y, z = scan.image.shape
        self._mask = torch.as_tensor(
            draw_tubes(
                (x, y, z),
                ratio=config.masking.ratio,
                block_size=config.masking.block_size,
                axis=mask_axis,
                rng=np.random.default_rng([config.training.seed, x, y, z]),
            )
        )
        self._reference = (
            None if scan.labels is None else classes.to_ids(scan.labels.numpy().astype(np.uint8))
        )

    def make(self, learner: Learner, should_stop: Callable[[], bool]) -> PreviewReady:
        """Predict the scan, plain and masked.

        Raises
        ------
        Cancelled
            If ``should_stop`` says so in between.
        """
        image = self._scan.image[None]
        with torch.no_grad():
            device = self._compute.device
            hidden = self._mask[None, None].to(device)
            masked = learner.token(image[None].to(device), hidden)[0].cpu()
        learner.student.eval()

        def segment(network: nn.Module, view: torch.Tensor) -> Array:
            work = windowed_probabilities(
                [network], view, self._window, self._compute, overlap=OVERLAP
            )
            indices = drained(work, should_stop).argmax(0).numpy().astype(np.uint8)
            return self._classes.to_ids(indices)

        return PreviewReady(
            step=learner.step,
            name=self._scan.name,
            affine=self._scan.affine,
            image=self._scan.image.numpy(),
            masked=masked[0].numpy(),
            student_masked=segment(learner.student, masked),
            student=segment(learner.student, image),
            teacher=None if learner.teacher is None else segment(learner.teacher, image),
            reference=self._reference,
        )
