"""What a user sees while it learns: one scan, plain and masked, through student and teacher."""

from __future__ import annotations

from collections.abc import Callable, Generator

import numpy as np
import torch
from torch import nn

from napari_medcontext.core.classes import Classes
from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.device import Compute
from napari_medcontext.core.events import Array, PreviewReady
from napari_medcontext.core.inference import drained
from napari_medcontext.core.learner import Learner
from napari_medcontext.core.masked_scan import MaskedScan
from napari_medcontext.core.prepared import PreparedScan
from napari_medcontext.core.volume import Spacing
from napari_medcontext.core.windows import windowed_probabilities

OVERLAP = 0.25
"""Windows overlap less than in prediction: a preview should cost little."""


class PreviewMaker:
    """Make previews of one scan; the same of it is hidden in all of them.

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
    spacing
        The run's voxel size in mm.
    """

    def __init__(
        self,
        scan: PreparedScan,
        classes: Classes,
        config: RunConfig,
        mask_axis: int,
        compute: Compute,
        spacing: Spacing,
    ) -> None:
        self._scan = scan
        self._classes = classes
        self._window = config.data.patch_size
        self._compute = compute
        rng = np.random.default_rng([config.training.seed, *scan.shape])
        self._masked = MaskedScan(scan, config, mask_axis, spacing, rng)
        self._reference = (
            None if scan.labels is None else classes.reference_ids(scan.labels.numpy())
        )

    def make(self, learner: Learner, should_stop: Callable[[], bool]) -> PreviewReady:
        """Predict the scan, plain and masked.

        Raises
        ------
        Cancelled
            If ``should_stop`` says so in between.
        """
        image = self._scan.image
        exclusive = not self._classes.regions
        learner.student.eval()

        def decided(work: Generator[float, None, torch.Tensor]) -> Array:
            probabilities = drained(work, should_stop).numpy()
            return self._classes.to_ids(self._classes.decide(probabilities))

        def segment(network: nn.Module) -> Array:
            return decided(
                windowed_probabilities(
                    [network],
                    image,
                    self._window,
                    self._compute,
                    overlap=OVERLAP,
                    exclusive=exclusive,
                )
            )

        masked_work = self._masked.probabilities(
            learner.student, learner.token, self._compute, exclusive=exclusive
        )
        return PreviewReady(
            step=learner.step,
            name=self._scan.name,
            affine=self._scan.affine,
            image=self._scan.shown.numpy(),
            masked=self._masked.shown(learner.token).numpy(),
            student_masked=decided(masked_work),
            student=segment(learner.student),
            teacher=None if learner.teacher is None else segment(learner.teacher),
            reference=self._reference,
        )
