"""Patches to train on, cut from prepared scans and augmented.

Every batch is a function of the seed and the step alone, so a run that was cut goes on
exactly as it would have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from monai.transforms.utils import generate_label_classes_crop_centers, map_classes_to_indices
from monai.utils import convert_to_tensor
from torch import Tensor

from napari_medcontext.core import transforms
from napari_medcontext.core.classes import UNKNOWN
from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.objective import masking_start
from napari_medcontext.core.padding import padded_to
from napari_medcontext.core.parallel.team import Team
from napari_medcontext.core.prepared import PreparedScan
from napari_medcontext.core.transforms import Patch

BARE_STREAM = 1
"""Keeps the order of the scans without labels apart from that of the others."""
MAX_POSITIONS = 20_000
"""Positions kept of each class to centre patches on; more would only cost memory."""


@dataclass(frozen=True)
class Batch:
    """Patches of one step: ``image`` ``(B, 1, x, y, z)`` float32, ``labels`` alike, indices.

    Labels are ``UNKNOWN`` where nothing is known: in all of a patch of a scan without labels.
    """

    image: Tensor
    labels: Tensor

    @cached_property
    def labelled(self) -> tuple[bool, ...]:
        """Whether anything is known of a patch, for each."""
        return tuple((self.labels != UNKNOWN).flatten(1).any(1).tolist())


class PatchSampler:
    """Cut foreground-balanced, augmented patches from the training scans.

    Half of the patches are centred on background, half on a foreground class, each class
    of a scan as often as the others; never on a voxel of which the class is unknown.

    Where there are scans without labels, a batch holds patches of them from the step on at
    which masking starts: as many as their share of the scans, at least one and at most half of
    the batch.

    Parameters
    ----------
    scans
        Training scans, at least one of them with labels.
    config
        Patch size, batch size, augmentation, objective and seed.
    team
        The processes that share each batch; only this one's patches are cut.
    """

    def __init__(
        self, scans: Sequence[PreparedScan], config: RunConfig, team: Team | None = None
    ) -> None:
        self._team = team or Team()
        self._patch_size = config.data.patch_size
        self._batch_size = config.training.batch_size
        self._seed = config.training.seed
        self._augment = transforms.augmentation(config.data, self._patch_size)
        self._scans = [_padded(scan, self._patch_size) for scan in scans]
        self._positions = [class_positions(labels) for _, labels in self._scans]
        self._labelled = [index for index, scan in enumerate(scans) if scan.labels is not None]
        self._bare = [index for index, scan in enumerate(scans) if scan.labels is None]
        self._bare_from = masking_start(config.objective, config.training.steps)
        self._bare_patches = _bare_patches(len(self._bare), len(scans), self._batch_size)

    def batch(self, step: int) -> Batch:
        """Return the patches of one step; the same for the same seed and step."""
        scans = self._scans_of(step)
        patches = [self._patch(step, index, scans[index]) for index in self._team.own(len(scans))]
        return Batch(
            torch.stack([patch["image"] for patch in patches]),
            torch.stack([patch["labels"] for patch in patches]),
        )

    def _scans_of(self, step: int) -> list[int]:
        """Return which scans the patches of a step are of; those without labels come last."""
        since = max(0, step - self._bare_from)
        bare = self._bare_patches if step >= self._bare_from else 0
        first = step * self._batch_size - since * self._bare_patches
        return [
            *self._turns(self._labelled, first, self._batch_size - bare),
            *self._turns(self._bare, since * self._bare_patches, bare, BARE_STREAM),
        ]

    def _turns(self, scans: Sequence[int], first: int, count: int, *stream: int) -> list[int]:
        """Return whose turn it is, from the ``first`` patch of these scans on.

        Every scan is used once before any is used again, in an order drawn anew each time.
        """
        taken = []
        for number in range(first, first + count):
            round_number, turn = divmod(number, len(scans))
            state = np.random.RandomState(_mixed_seed(self._seed, round_number, *stream))
            taken.append(scans[state.permutation(len(scans))[turn]])
        return taken

    def _patch(self, step: int, index: int, scan: int) -> Patch:
        state = np.random.RandomState(_mixed_seed(self._seed, step, index))
        image, labels = self._scans[scan]
        patch = self._cut(image, labels, self._positions[scan], state)
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
        self, image: Tensor, labels: Tensor, positions: Positions, state: np.random.RandomState
    ) -> Patch:
        box = drawn_box(positions, labels.shape, self._patch_size, state)
        return {
            "image": image[(slice(None), *box)].clone(),
            "labels": labels[box][None].float(),
        }


@dataclass(frozen=True)
class Positions:
    """Where patches may be centred: by class index, voxels in C order, and how often each."""

    indices: list[npt.NDArray[np.intp]]
    ratios: list[float]


def class_positions(labels: Tensor) -> Positions:
    """Return where the patches of a scan are centred, half on background, half on its classes.

    Parameters
    ----------
    labels
        Class indices ``(x, y, z)``, padded to a patch at least, ``UNKNOWN`` where not known.
    """
    known = labels[labels != UNKNOWN]
    if not len(known):
        anywhere = np.linspace(0, labels.numel() - 1, MAX_POSITIONS).astype(np.intp)
        return Positions([anywhere], [1.0])
    indices = map_classes_to_indices(
        labels[None].numpy(),
        num_classes=int(known.max()) + 1,
        max_samples_per_class=MAX_POSITIONS,
    )
    present = [len(found) > 0 for found in indices]
    foreground = sum(present[1:])
    ratios = [float(foreground if present[0] else 0), *(float(here) for here in present[1:])]
    return Positions([np.asarray(found) for found in indices], ratios)


def drawn_box(
    positions: Positions,
    shape: Sequence[int],
    patch_size: tuple[int, int, int],
    state: np.random.RandomState,
) -> tuple[slice, ...]:
    """Draw where the next patch lies in a scan ``(x, y, z)`` that is a patch large at least."""
    (centre,) = generate_label_classes_crop_centers(
        patch_size, 1, shape, positions.indices, positions.ratios, state
    )
    return tuple(
        slice(int(middle) - side // 2, int(middle) - side // 2 + side)
        for middle, side in zip(centre, patch_size, strict=True)
    )


def _padded(scan: PreparedScan, patch_size: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """Continue the edges of a scan that is smaller than a patch, and of its labels alike."""
    labels = scan.labels
    if labels is None:
        # One byte in memory, seen everywhere.
        labels = torch.tensor(UNKNOWN, dtype=torch.uint8).expand(scan.shape)
    return padded_to(scan.image, patch_size)[0], padded_to(labels, patch_size)[0]


def _bare_patches(bare: int, scans: int, batch_size: int) -> int:
    """Return how many patches of a batch are of scans without labels."""
    if not bare:
        return 0
    if batch_size < 2:
        raise SettingsError(
            "With one patch a step, scans without labels cannot join: each step needs a patch with "
            "labels too. Set the patches a step to 2 or more, or those scans to “unused”."
        )
    return min(max(1, round(batch_size * bare / scans)), batch_size // 2)


def _mixed_seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
