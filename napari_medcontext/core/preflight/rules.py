"""What to look for, one function for each kind of finding.

A rule stays silent where a clean study could look the same: whoever reads a list of findings must
be able to trust that each line is worth a look.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import psutil

from napari_medcontext.core.preflight.findings import Finding, Study
from napari_medcontext.core.preflight.survey import Survey

Rule = Callable[[Study], Iterable[Finding]]

SPACING_RATIO = 2.5
"""From this ratio to the others' median on, a scan's voxel size is odd."""
THICK_RATIO = 8.0
ASKEW_DEGREES = 0.5
AIR_HU, WATERY_HU = -900.0, -50.0
OUTLIER_RANGES = 20.0
"""How many times its usual range above it a scan's brightest voxel is odd."""
FEWEST_TO_COMPARE = 3
FEWEST_VOXELS = 27
MOST_SPECKS = 10
MOST_LABELLED = 0.9
PATCH_SHARE = 0.25
"""Below this share of a structure's extent, a patch sees none of what lies round it."""
BYTES_A_VOXEL = 5
MEMORY_SHARE = 0.8


def constant(study: Study) -> Iterator[Finding]:
    """Find scans of a single intensity."""
    for survey in study.surveys:
        if survey.minimum == survey.maximum:
            yield Finding(
                "constant",
                [survey.name],
                f"Every voxel of “{survey.name}” is {survey.minimum:g}.",
                "Export the scan again, or leave it out.",
                stops=True,
            )


def looks_like_labels(study: Study) -> Iterator[Finding]:
    """Find label maps in the place of scans."""
    for survey in study.surveys:
        if survey.few_values and survey.minimum != survey.maximum:
            yield Finding(
                "looks like labels",
                [survey.name],
                f"“{survey.name}” ({survey.source}) holds a few whole numbers only, as labels do.",
                "Check that scan and labels were not swapped.",
            )


def unplaced(study: Study) -> Iterator[Finding]:
    """Find files that do not say how the scan lies in the patient."""
    names = [survey.name for survey in study.surveys if not survey.placed]
    if names:
        yield Finding(
            "unplaced",
            names,
            "The header does not say how the scan lies in the patient (qform and sform code 0): "
            "left and right, front and back are a guess.",
            "Export the scan again from its DICOM, or check its orientation in a viewer.",
        )


def askew(study: Study) -> Iterator[Finding]:
    """Find sheared grids."""
    for survey in study.surveys:
        if survey.askew > ASKEW_DEGREES:
            yield Finding(
                "askew",
                [survey.name],
                f"The axes of “{survey.name}” miss right angles by {survey.askew:.1f}°, as after "
                "a scan with a tilted gantry. They are resampled as if they met them.",
                "Resample the scan onto a straight grid if shapes matter.",
            )


def odd_spacing(study: Study) -> Iterator[Finding]:
    """Find voxel sizes unlike the other scans'."""
    if len(study.surveys) < FEWEST_TO_COMPARE:
        return
    usual = np.median([survey.spacing for survey in study.surveys], axis=0)
    for survey in study.surveys:
        ratios = np.array(survey.spacing) / usual
        if max(ratios.max(), 1 / ratios.min()) > SPACING_RATIO:
            own, others = (
                " × ".join(f"{s:.3g}" for s in sizes) for sizes in (survey.spacing, usual)
            )
            yield Finding(
                "odd spacing",
                [survey.name],
                f"“{survey.name}” has voxels of {own} mm, the others of {others} mm.",
                "Check the units of its header (some programs write cm or metres as mm).",
            )


def thick_slices(study: Study) -> Iterator[Finding]:
    """Find slices so thick that a 3D network sees little across them."""
    for survey in study.surveys:
        if max(survey.spacing) > THICK_RATIO * min(survey.spacing):
            yield Finding(
                "thick slices",
                [survey.name],
                f"“{survey.name}” has slices {max(survey.spacing):.3g} mm apart and pixels of "
                f"{min(survey.spacing):.3g} mm.",
                "Choose a coarser spacing in the slices (--spacing), so that patches see more.",
            )


def not_hounsfield(study: Study) -> Iterator[Finding]:
    """Find CT scans that are not in Hounsfield units, while a window or the other scans are."""
    air = [survey for survey in study.surveys if survey.low < AIR_HU]
    expected = study.config.data.intensity == "window" or 2 * len(air) > len(study.surveys)
    shifted = [survey for survey in study.surveys if survey.minimum > WATERY_HU]
    if expected and shifted:
        yield Finding(
            "not HU",
            [survey.name for survey in shifted],
            "No voxel is as dark as air or fat in Hounsfield units"
            + (", as they are in the other scans." if air else ", which the window is given in."),
            "Apply the rescale intercept (mostly −1024), or normalise by z-score.",
        )


def outliers(study: Study) -> Iterator[Finding]:
    """Find single voxels far beyond all others."""
    for survey in study.surveys:
        usual = survey.high - survey.low
        if usual > 0 and survey.maximum > survey.high + OUTLIER_RANGES * usual:
            yield Finding(
                "outliers",
                [survey.name],
                f"The brightest voxel of “{survey.name}” is {survey.maximum:g}, while 99.5 % lie "
                f"below {survey.high:g}.",
                "Clip the intensities, or leave the scan out.",
            )


def same_scan(study: Study) -> Iterator[Finding]:
    """Find the same voxels twice."""
    for group in _groups(study.surveys, lambda survey: survey.checksum):
        roles = sorted({survey.role for survey in group})
        apart = len(roles) > 1
        used = f" and are used for {' and '.join(roles)}: scores would be too good" * apart
        yield Finding(
            "same scan",
            [survey.name for survey in group],
            f"{_names(group)} hold the same voxels{used}.",
            "Leave all but one out.",
            stops=apart,
        )


def same_labels(study: Study) -> Iterator[Finding]:
    """Find the same labels for different scans."""
    drawn = [survey for survey in study.surveys if survey.labels_checksum is not None]
    for group in _groups(drawn, lambda survey: survey.labels_checksum):
        if len({survey.checksum for survey in group}) > 1:
            yield Finding(
                "same labels",
                [survey.name for survey in group],
                f"{_names(group)} are different scans with the very same labels.",
                "Give each scan its own labels.",
                stops=True,
            )


def unnamed_classes(study: Study) -> Iterator[Finding]:
    """Find ids that the study's list of classes does not have."""
    if not study.class_names:
        return
    for survey in study.surveys:
        foreign = sorted(set(survey.classes) - set(study.class_names))
        if foreign:
            yield Finding(
                "unnamed classes",
                [survey.name],
                f"The labels of “{survey.name}” hold the ids {foreign}, which the study does not "
                f"list ({', '.join(map(str, study.class_names))}).",
                "Correct the labels or the list.",
            )


def missing_classes(study: Study) -> Iterator[Finding]:
    """Find classes that cannot be learned, or hardly."""
    having = _having(study.training)
    elsewhere = _having(survey for survey in study.surveys if survey.role == "validation")
    for class_id in sorted((set(study.class_names) | set(elsewhere)) - set(having) - {0}):
        yield Finding(
            "missing class",
            [survey.name for survey in elsewhere.get(class_id, [])],
            f"No training scan has {study.name_of(class_id)} (id {class_id}).",
            "Train on a scan that has it, or take it from the list.",
        )
    labelled = [survey for survey in study.training if survey.classes]
    for class_id, surveys in sorted(having.items()):
        if len(surveys) == 1 and len(labelled) > FEWEST_TO_COMPARE:
            yield Finding(
                "rare class",
                [surveys[0].name],
                f"Only “{surveys[0].name}” of {len(labelled)} training scans has "
                f"{study.name_of(class_id)} (id {class_id}).",
                "Check that the other scans do not lack it by mistake.",
            )


def tiny_structures(study: Study) -> Iterator[Finding]:
    """Find structures of a few voxels at the run's spacing."""
    voxel_ml = float(np.prod(study.spacing)) / 1000.0
    for survey in study.surveys:
        for class_id, known in survey.classes.items():
            if known.volume_ml < FEWEST_VOXELS * voxel_ml:
                yield Finding(
                    "tiny structure",
                    [survey.name],
                    f"{study.name_of(class_id)} in “{survey.name}” is {known.volume_ml:.3g} ml, "
                    f"{known.volume_ml / voxel_ml:.0f} voxels at the spacing of the training.",
                    "Choose a finer spacing, or check the labels for a slip of the brush.",
                )


def cut_structures(study: Study) -> Iterator[Finding]:
    """Find structures that end at the scan's edge here, and do not elsewhere."""
    for class_id, surveys in sorted(_having(study.surveys).items()):
        cut = [survey for survey in surveys if survey.classes[class_id].touches]
        if cut and len(surveys) >= FEWEST_TO_COMPARE and 3 * len(cut) <= len(surveys):
            yield Finding(
                "cut structure",
                [survey.name for survey in cut],
                f"{study.name_of(class_id)} is cut off by the edge of {_names(cut)}, and whole in "
                "the other scans.",
                "Leave the scan out if half an organ would mislead, or mind it in the scores.",
            )


def specks(study: Study) -> Iterator[Finding]:
    """Find classes with many pieces of a voxel or two."""
    for survey in study.surveys:
        for class_id, known in survey.classes.items():
            if known.specks > MOST_SPECKS:
                yield Finding(
                    "specks",
                    [survey.name],
                    f"{study.name_of(class_id)} in “{survey.name}” has {known.specks} pieces of "
                    "one or two voxels.",
                    "Resample labels with nearest neighbour, or remove the specks.",
                )


def mostly_labelled(study: Study) -> Iterator[Finding]:
    """Find labels that leave hardly any background."""
    for survey in study.surveys:
        if survey.labelled_share > MOST_LABELLED:
            yield Finding(
                "mostly labelled",
                [survey.name],
                f"{survey.labelled_share:.0%} of “{survey.name}” is labelled.",
                "Check that the background is 0, and that scan and labels were not swapped.",
            )


def small_patches(study: Study) -> Iterator[Finding]:
    """Find patches that see a small part of a structure, and nothing round it."""
    patch = np.array(study.config.data.patch_size) * study.spacing
    for class_id, surveys in sorted(_having(study.training).items()):
        extent = np.median([survey.classes[class_id].extent for survey in surveys], axis=0)
        if (patch < PATCH_SHARE * extent).any():
            yield Finding(
                "small patch",
                [],
                f"A patch is {_sizes(patch)} mm, {study.name_of(class_id)} {_sizes(extent)} mm: a "
                "patch sees none of what lies round it.",
                "Choose larger patches (--patch-size) or a coarser spacing.",
            )


def small_scans(study: Study) -> Iterator[Finding]:
    """Find scans that fill less than half of a patch."""
    for survey in study.training:
        voxels = np.array(survey.shape) * survey.spacing / study.spacing
        if (2 * voxels < study.config.data.patch_size).any():
            yield Finding(
                "small scan",
                [survey.name],
                f"“{survey.name}” has {_sizes(voxels)} voxels at the spacing of the training, less "
                "than half a patch along an axis; the rest of a patch repeats its edge.",
                "Choose a smaller patch along that axis, or a finer spacing.",
            )


def memory(study: Study) -> Iterator[Finding]:
    """Find more voxels than the machine's memory takes at once."""
    largest = max(
        (float(np.prod(np.array(survey.shape) * survey.spacing)) for survey in study.surveys),
        default=0.0,
    )
    classes = len(set().union(*(survey.classes for survey in study.surveys))) + 1
    needed = largest / float(np.prod(study.spacing)) * (BYTES_A_VOXEL + 4 * classes)
    there = psutil.virtual_memory().available
    if needed > MEMORY_SHARE * there:
        yield Finding(
            "memory",
            [],
            f"Predicting the largest scan needs about {needed / 2**30:.1f} GiB of memory; "
            f"{there / 2**30:.1f} GiB are free.",
            "Choose a coarser spacing, or close other programs.",
        )


RULES: tuple[Rule, ...] = (
    constant,
    looks_like_labels,
    unplaced,
    askew,
    odd_spacing,
    thick_slices,
    not_hounsfield,
    outliers,
    same_scan,
    same_labels,
    unnamed_classes,
    missing_classes,
    tiny_structures,
    cut_structures,
    specks,
    mostly_labelled,
    small_patches,
    small_scans,
    memory,
)


def _groups(surveys: Iterable[Survey], key: Callable[[Survey], object]) -> Iterator[list[Survey]]:
    """Return those of which several share a key."""
    by_key: defaultdict[object, list[Survey]] = defaultdict(list)
    for survey in surveys:
        by_key[key(survey)].append(survey)
    return (group for group in by_key.values() if len(group) > 1)


def _having(surveys: Iterable[Survey]) -> dict[int, list[Survey]]:
    """Return, by class, the scans whose labels have it."""
    by_class: defaultdict[int, list[Survey]] = defaultdict(list)
    for survey in surveys:
        for class_id in survey.classes:
            by_class[class_id].append(survey)
    return dict(by_class)


def _names(surveys: Iterable[Survey]) -> str:
    return " and ".join(f"“{survey.name}”" for survey in surveys)


def _sizes(sizes: Iterable[float]) -> str:
    return " × ".join(f"{size:.3g}" for size in sizes)
