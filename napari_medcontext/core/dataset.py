"""From scans to patch batches: read, check, prepare once, cache, cut and augment.

Every batch is a function of the seed and the step alone, so a run that was cut goes on
exactly as it would have.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.transforms.utils import generate_label_classes_crop_centers, map_classes_to_indices
from torch import Tensor

from napari_medcontext.core import transforms
from napari_medcontext.core.checks import checked_image, checked_labels
from napari_medcontext.core.config import Case, RunConfig, RunSpec
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.events import Event, Preparing, Warned
from napari_medcontext.core.io import atomic_path, read_geometry, read_volume
from napari_medcontext.core.labels import as_label_array
from napari_medcontext.core.transforms import Patch, Spacing
from napari_medcontext.core.volume import Affine

_Arrays = tuple[npt.NDArray[Any], npt.NDArray[Any] | None, Affine]

MAX_POSITIONS = 20_000
"""Positions kept of each class to centre patches on; more would only cost memory."""


@dataclass(frozen=True)
class Classes:
    """The user's class ids, any whole numbers with gaps, and the network's 0, 1, 2 and so on.

    ``ids`` rises and starts with 0, the background.
    """

    ids: tuple[int, ...]
    names: Mapping[int, str] = field(default_factory=dict)

    def to_indices(self, ids: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Map class ids to indices; ids that training never saw become background."""
        known = np.asarray(self.ids)
        positions = np.searchsorted(known, ids).clip(0, len(known) - 1)
        return np.where(known[positions] == ids, positions, 0).astype(np.uint8)

    def to_ids(self, indices: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Map indices back to the user's class ids, in the smallest type that holds them."""
        return np.asarray(self.ids, dtype=np.min_scalar_type(self.ids[-1]))[indices]


@dataclass(frozen=True, eq=False)
class PreparedScan:
    """A scan as the network sees it: ``image`` and ``labels`` of shape ``(x, y, z)``, RAS."""

    name: str
    image: Tensor
    labels: Tensor | None
    affine: Affine
    source_spacing: Spacing


@dataclass(frozen=True, eq=False)
class Dataset:
    """All that a training needs of its scans."""

    training: Sequence[PreparedScan]
    validation: Sequence[PreparedScan]
    preview: PreparedScan | None
    classes: Classes
    spacing: Spacing


@dataclass(frozen=True)
class Batch:
    """Patches of one step: ``image`` ``(B, 1, x, y, z)`` float32, ``labels`` alike, indices."""

    image: Tensor
    labels: Tensor


def load_dataset(spec: RunSpec, cache: Path | None = None) -> Generator[Event, None, Dataset]:
    """Read, check and prepare the scans of a run.

    Parameters
    ----------
    spec
        Settings and scans.
    cache
        Folder for prepared scans, which are then mapped rather than held in memory;
        ``None`` keeps them in memory.

    Yields
    ------
    Preparing, Warned
        Progress, and what is odd.

    Returns
    -------
    Dataset

    Raises
    ------
    ScanError
        If a scan or its labels cannot be used; nothing is trained then.
    """
    used = [case for case in spec.cases if case.role != "unused"]
    if not spec.with_role("training"):
        raise ScanError("There is no scan to train on. Set at least one scan to “training”.")
    surveys = {}
    for done, case in enumerate(used):
        yield Preparing(f"Looking at {case.name}", done, 2 * len(used))
        surveys[case.name] = _survey(case)
    training = [surveys[case.name] for case in spec.with_role("training")]
    classes = _common_classes(training, spec.class_names)
    yield from _unknown_classes(surveys, classes)
    spacing = spec.config.data.spacing or _median_spacing(training)
    prepared: dict[str, list[PreparedScan]] = {"training": [], "validation": [], "preview": []}
    for done, case in enumerate(used, start=len(used)):
        yield Preparing(f"Preparing {case.name}", done, 2 * len(used))
        scan = _prepared_scan(case, surveys[case.name], classes, spacing, spec.config, cache)
        prepared[case.role].append(scan)
    yield Preparing("Scans are ready", 2 * len(used), 2 * len(used))
    candidates = prepared["preview"] + prepared["validation"] + prepared["training"]
    return Dataset(prepared["training"], prepared["validation"], candidates[0], classes, spacing)


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
            "image": torch.as_tensor(augmented["image"]).contiguous(),
            "labels": torch.as_tensor(augmented["labels"]).contiguous(),
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
    missing = [max(0, side - have) for side, have in zip(patch_size, scan.image.shape, strict=True)]
    if not any(missing):
        return scan.image, scan.labels
    before_after = [(gap // 2, gap - gap // 2) for gap in missing]
    return (
        torch.as_tensor(np.pad(scan.image.numpy(), before_after, mode="edge")),
        torch.as_tensor(np.pad(scan.labels.numpy(), before_after, mode="edge")),
    )


def _mixed_seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


@dataclass(frozen=True)
class _Survey:
    """What a scan's headers and labels tell before its voxels are prepared."""

    role: str
    spacing: Spacing
    ids: frozenset[int]
    names: Mapping[int, str]


def _survey(case: Case) -> _Survey:
    spacing = read_geometry(case.image).reoriented("RAS").spacing
    if case.labels is None:
        if case.role in ("training", "validation"):
            raise ScanError(
                f"“{case.name}” is set to {case.role} but has no labels. Choose its labels, or "
                "set it to “preview” or “unused”."
            )
        return _Survey(case.role, spacing, frozenset(), {})
    labels = read_volume(case.labels)
    ids = np.unique(as_label_array(labels.array, labels.name))
    return _Survey(case.role, spacing, frozenset(ids.tolist()), labels.class_names)


def _common_classes(surveys: Sequence[_Survey], names: Mapping[int, str]) -> Classes:
    ids = sorted({0}.union(*(survey.ids for survey in surveys)))
    if len(ids) > 255:
        raise ScanError(
            f"The labels hold {len(ids)} different ids; at most 255 classes can be learned. "
            "Are these really labels, not intensities?"
        )
    named: dict[int, str] = {}
    for survey in surveys:
        named.update(survey.names)
    named.update(names)
    return Classes(tuple(ids), {k: named.get(k, f"class {k}") for k in ids if k})


def _unknown_classes(surveys: Mapping[str, _Survey], classes: Classes) -> Iterable[Event]:
    for name, survey in surveys.items():
        unknown = sorted(survey.ids - set(classes.ids))
        if unknown:
            yield Warned(
                f"“{name}” has classes that no training scan has ({unknown}); they cannot "
                "be learned and count as background."
            )


def _median_spacing(surveys: Sequence[_Survey]) -> Spacing:
    median = np.median([survey.spacing for survey in surveys], axis=0)
    x, y, z = (round(float(size), 4) for size in median)
    return x, y, z


def _prepared_scan(
    case: Case,
    survey: _Survey,
    classes: Classes,
    spacing: Spacing,
    config: RunConfig,
    cache: Path | None,
) -> PreparedScan:
    entry = _CacheEntry(cache, case, classes, spacing, config) if cache else None
    arrays = entry.load() if entry else None
    if arrays is None:
        arrays = _prepare(case, classes, spacing, config)
        if entry:
            arrays = entry.save(arrays)
    image, labels, affine = arrays
    return PreparedScan(
        case.name,
        torch.as_tensor(image),
        None if labels is None else torch.as_tensor(labels),
        affine,
        survey.spacing,
    )


def _prepare(case: Case, classes: Classes, spacing: Spacing, config: RunConfig) -> _Arrays:
    image = checked_image(read_volume(case.image))
    prepared = transforms.prepare_image(image, spacing, config.data)
    if case.labels is None:
        return prepared.array, None, prepared.affine
    labels = checked_labels(read_volume(case.labels), image)
    indices = labels.with_array(classes.to_indices(labels.array))
    resampled = transforms.prepare_labels(indices, prepared)
    if case.role == "training":
        _refuse_vanished(case, resampled, spacing)
    return prepared.array, resampled, prepared.affine


def _refuse_vanished(case: Case, labels: npt.NDArray[Any], spacing: Spacing) -> None:
    if not labels.any():
        raise ScanError(
            f"Nothing is left of the labels of “{case.name}” at a spacing of {spacing} mm. "
            "Choose a finer spacing."
        )


class _CacheEntry:
    """Prepared arrays of one scan on disk, found again by all that they depend on."""

    def __init__(
        self, folder: Path, case: Case, classes: Classes, spacing: Spacing, config: RunConfig
    ) -> None:
        files = [path for path in (case.image, case.labels) if path is not None]
        facts = [
            [[str(path), path.stat().st_mtime_ns, path.stat().st_size] for path in files],
            classes.ids,
            spacing,
            config.data.intensity,
            config.data.window,
        ]
        key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
        self._parts = {part: folder / f"{key}-{part}.npy" for part in ("image", "labels", "affine")}
        self._has_labels = case.labels is not None

    def load(self) -> _Arrays | None:
        # The affine is written last: where it is, the others are whole.
        if not self._parts["affine"].is_file():
            return None
        try:
            # Copy-on-write mapping: torch wants writable memory, the file must not change.
            return (
                np.load(self._parts["image"], mmap_mode="c"),
                np.load(self._parts["labels"], mmap_mode="c") if self._has_labels else None,
                np.load(self._parts["affine"]),
            )
        except (OSError, ValueError):
            return None

    def save(self, arrays: _Arrays) -> _Arrays:
        for part, array in zip(("image", "labels", "affine"), arrays, strict=True):
            if array is not None:
                with atomic_path(self._parts[part]) as temporary:
                    np.save(temporary, array)
        return self.load() or arrays
