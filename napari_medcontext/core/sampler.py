"""Patches to train on, cut from prepared scans and augmented.

Every batch is a function of the seed and the step alone, so a run that was cut goes on
exactly as it would have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from monai.transforms.utils import generate_label_classes_crop_centers, map_classes_to_indices
from monai.utils import convert_to_tensor
from torch import Tensor

from napari_medcontext.core import transforms
from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.padding import padded_to
from napari_medcontext.core.prepared import PreparedScan
from napari_medcontext.core.transforms import Patch

MAX_POSITIONS = 20_000
"""Positions kept of each class to centre patches on; more would only cost memory."""


@dataclass(frozen=True)
class Batch:
    """Patches of one step: ``image`` ``(B, 1, x, y, z)`` float32, ``labels`` alike, indices."""

    image: Tensor
    labels: Tensor


class PatchSampler:
    """Cut foreground-balanced, augmented patches from the training scans.

    Half of the patches are centred on background, half on a foreground class, each class
    of a scan as often as the others.

    Parameters
    ----------
    scans
        Training scans with labels.
    config
        Patch size, batch size, augmentation and seed.
    """

    def __init__(self, scans: Sequence[PreparedScan], config: RunConfig) -> None:
        self._patch_size = config.data.patch_size
        self._batch_size = config.training.batch_size
        self._seed = config.training.seed
        self._augment = transforms.augmentation(config.data, self._patch_size)
        self._scans = [_padded(scan, self._patch_size) for scan in scans]
        self._positions = [_class_positions(labels) for _, labels in self._scans]

    def batch(self, step: int) -> Batch:
        """Return the patches of one step; the same for the same seed and step."""
        patches = [self._patch(step, index) for index in range(self._batch_size)]
        return Batch(
            torch.stack([patch["image"] for patch in patches]),
            torch.stack([patch["labels"] for patch in patches]),
        )

    def _patch(self, step: int, index: int) -> Patch:
        state = np.random.RandomState(_mixed_seed(self._seed, step, index))
        # Every scan is used once before any is used again, in an order drawn anew each time.
        count = step * self._batch_size + index
        round_number, turn = divmod(count, len(self._scans))
        order = np.random.RandomState(_mixed_seed(self._seed, round_number)).permutation(
            len(self._scans)
        )
        image, labels = self._scans[order[turn]]
        patch = self._cut(image, labels, self._positions[order[turn]], state)
        if self._augment is None:
            return patch
        self._augment.set_random_state(state=state)  # type: ignore[attr-defined]
        augmented = self._augment(patch)
        return {
            # MONAI hands on tensors with metadata, which slow down every layer of the network.
            name: convert_to_tensor(augmented[name], track_meta=False).contiguous()
            for name in ("image", "labels")
        }

    def _cut(
        self, image: Tensor, labels: Tensor, positions: _Positions, state: np.random.RandomState
    ) -> Patch:
        (centre,) = generate_label_classes_crop_centers(
            self._patch_size, 1, image.shape, positions.indices, positions.ratios, state
        )
        box = tuple(
            slice(int(middle) - side // 2, int(middle) - side // 2 + side)
            for middle, side in zip(centre, self._patch_size, strict=True)
        )
        return {"image": image[box][None].clone(), "labels": labels[box][None].float()}


@dataclass(frozen=True)
class _Positions:
    indices: list[npt.NDArray[np.intp]]
    ratios: list[float]


def _class_positions(labels: Tensor) -> _Positions:
    indices = map_classes_to_indices(
        labels[None].numpy(),
        num_classes=int(labels.max()) + 1,
        max_samples_per_class=MAX_POSITIONS,
    )
    present = [len(found) > 0 for found in indices]
    foreground = sum(present[1:])
    ratios = [float(foreground if present[0] else 0), *(float(here) for here in present[1:])]
    return _Positions([np.asarray(found) for found in indices], ratios)


def _padded(scan: PreparedScan, patch_size: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """Continue the edges of a scan that is smaller than a patch."""
    assert scan.labels is not None
    return padded_to(scan.image, patch_size)[0], padded_to(scan.labels, patch_size)[0]


def _mixed_seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
