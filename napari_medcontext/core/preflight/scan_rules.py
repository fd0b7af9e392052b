"""What to look for in the scans themselves, one function for each kind of finding."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from napari_medcontext.core.preflight.findings import Finding, Study
from napari_medcontext.core.preflight.rules import FEWEST_TO_COMPARE, Rule, alike, listed, sizes

SPACING_RATIO = 2.5
"""From this ratio to the others' median on, a scan's voxel size is odd."""
THICK_RATIO = 8.0
ASKEW_DEGREES = 0.5
AIR_HU, WATERY_HU = -900.0, -50.0
OUTLIER_RANGES = 20.0
"""How many times its usual range above it a scan's brightest voxel is odd."""


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
            yield Finding(
                "odd spacing",
                [survey.name],
                f"“{survey.name}” has voxels of {sizes(survey.spacing)} mm, the "
                f"others of {sizes(usual)} mm.",
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
    for group in alike(study.surveys, lambda survey: survey.checksum):
        roles = sorted({survey.role for survey in group})
        apart = len(roles) > 1
        used = f" and are used for {' and '.join(roles)}: scores would be too good" * apart
        yield Finding(
            "same scan",
            [survey.name for survey in group],
            f"{listed(group)} hold the same voxels{used}.",
            "Leave all but one out.",
            stops=apart,
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
)
