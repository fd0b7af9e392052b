"""From a run's scans to its data set: survey them all, agree on classes and spacing, prepare."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_medcontext.core.cases import quoted, refuse_duplicates, require_labels
from napari_medcontext.core.classes import Classes
from napari_medcontext.core.config import Case, RunConfig, RunSpec
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.events import Event, Preparing, Warned
from napari_medcontext.core.io import read_geometry, read_volume
from napari_medcontext.core.labels import as_label_array
from napari_medcontext.core.prepared import PreparedScan, prepared_scan
from napari_medcontext.core.volume import Spacing, median_spacing


@dataclass(frozen=True, eq=False)
class Dataset:
    """All that a training needs of its scans."""

    training: Sequence[PreparedScan]
    validation: Sequence[PreparedScan]
    preview: PreparedScan | None
    classes: Classes
    spacing: Spacing


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
    refuse_duplicates(used)
    require_labels(used, spec.config.objective)
    surveys = {}
    for done, case in enumerate(used):
        yield Preparing(f"Looking at {case.name}", done, 2 * len(used))
        surveys[case.name] = _survey(case, spec)
    training = [surveys[case.name] for case in spec.with_role("training")]
    yield from _unlabelled(spec)
    yield from _resampled(surveys, spec.config)
    classes = _common_classes(surveys, spec)
    yield from _unknown_classes(surveys, classes)
    yield from _empty_regions(spec.regions, classes)
    spacing = spec.config.data.spacing or median_spacing([survey.spacing for survey in training])
    prepared: dict[str, list[PreparedScan]] = {"training": [], "validation": [], "preview": []}
    for done, case in enumerate(used, start=len(used)):
        yield Preparing(f"Preparing {case.name}", done, 2 * len(used))
        source_spacing = surveys[case.name].spacing
        scan = prepared_scan(
            case, source_spacing, classes, spacing, spec.config, cache, spec.channels
        )
        prepared[case.role].append(scan)
    yield Preparing("Scans are ready", 2 * len(used), 2 * len(used))
    candidates = prepared["preview"] + prepared["validation"] + prepared["training"]
    return Dataset(prepared["training"], prepared["validation"], candidates[0], classes, spacing)


@dataclass(frozen=True)
class _Survey:
    """What a scan's headers and labels tell before its voxels are prepared."""

    spacing: Spacing
    ids: frozenset[int]
    names: Mapping[int, str]
    beside: bool = False
    """Whether the labels lie on another grid than the scan."""


def _survey(case: Case, spec: RunSpec) -> _Survey:
    grid = read_geometry(case.image, channels=len(spec.channels) > 1)
    spacing = grid.reoriented("RAS").spacing
    if case.labels is None:
        return _Survey(spacing, frozenset(), {})
    labels = read_volume(case.labels)
    ids = set(np.unique(as_label_array(labels.array, labels.name)).tolist())
    data = spec.config.data
    learned = data.classes
    ids = {k for k in ids if k != data.ignore_label and (not learned or k in (0, *learned))}
    beside = labels.turned_onto(grid) is None
    return _Survey(spacing, frozenset(ids), labels.class_names, beside)


def _resampled(surveys: Mapping[str, _Survey], config: RunConfig) -> Iterable[Event]:
    """Tell whose labels are brought onto their scan's grid, as the settings allow."""
    beside = [name for name, survey in surveys.items() if survey.beside]
    if beside and config.data.resample:
        outside = "background" if config.data.ignore_label is None else "unknown"
        yield Warned(
            f"The labels of {quoted(beside)} lie on another grid and are resampled onto their "
            f"scans; what they do not reach counts as {outside}."
        )


def _unlabelled(spec: RunSpec) -> Iterable[Event]:
    """Tell which scans train without labels."""
    training = spec.with_role("training")
    bare = [case.name for case in training if case.labels is None]
    if bare:
        yield Warned(
            f"{len(bare)} of {len(training)} training scans join without labels: {quoted(bare)}. "
            "From such a scan the student learns only to agree with the teacher where it is masked."
        )


def _common_classes(by_name: Mapping[str, _Survey], spec: RunSpec) -> Classes:
    surveys = [by_name[case.name] for case in spec.with_role("training")]
    ids = sorted({0}.union(*(survey.ids for survey in surveys)))
    if ids == [0]:
        raise ScanError(
            f"No training scan has one of the classes {list(spec.config.data.classes or ())} that "
            "are to be learned. Mend data.classes, or choose other scans."
        )
    if len(ids) > 255:
        fullest = max(spec.with_role("training"), key=lambda case: len(by_name[case.name].ids))
        raise ScanError(
            f"The labels hold {len(ids)} different ids, most of them in {fullest.labels}; at most "
            "255 classes can be learned. Is it a map of intensities or probabilities? Make class "
            "ids of it first, for example by a threshold."
        )
    named: dict[int, str] = {}
    for survey in surveys:
        named.update(survey.names)
    named.update(spec.class_names)
    names = {k: named.get(k, f"class {k}") for k in ids if k}
    if spec.regions:
        names = dict(enumerate(spec.regions, start=1))
    return Classes(tuple(ids), names, tuple(spec.regions.values()), spec.config.data.ignore_label)


def _empty_regions(regions: Mapping[str, Sequence[int]], classes: Classes) -> Iterable[Event]:
    """Refuse a region that no training scan has; tell of classes that are in none."""
    for name, members in regions.items():
        if not set(members) & set(classes.ids):
            raise ScanError(
                f"The region “{name}” is made of the classes {sorted(members)}, and no training "
                f"scan has one of them; there are {list(classes.ids[1:])}. Mend the table of "
                "regions, or choose other scans."
            )
    outside = set(classes.ids[1:]).difference(*regions.values())
    if regions and outside:
        yield Warned(
            f"The classes {sorted(outside)} are in no region; they are learned as background."
        )


def _unknown_classes(surveys: Mapping[str, _Survey], classes: Classes) -> Iterable[Event]:
    for name, survey in surveys.items():
        unknown = sorted(survey.ids - set(classes.ids))
        if unknown:
            yield Warned(
                f"“{name}” has classes that no training scan has ({unknown}); they cannot "
                "be learned and count as background."
            )
