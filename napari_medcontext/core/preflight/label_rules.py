"""What to look for in the labels, one function for each kind of finding."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from napari_medcontext.core.preflight.findings import Finding, Study
from napari_medcontext.core.preflight.rules import FEWEST_TO_COMPARE, Rule, alike, having, listed

FEWEST_VOXELS = 27
MOST_SPECKS = 10
MOST_LABELLED = 0.9


def same_labels(study: Study) -> Iterator[Finding]:
    """Find the same labels for different scans."""
    drawn = [survey for survey in study.surveys if survey.labels_checksum is not None]
    for group in alike(drawn, lambda survey: survey.labels_checksum):
        if len({survey.checksum for survey in group}) > 1:
            yield Finding(
                "same labels",
                [survey.name for survey in group],
                f"{listed(group)} are different scans with the very same labels.",
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
    trained = having(study.training)
    elsewhere = having(survey for survey in study.surveys if survey.role == "validation")
    for class_id in sorted((set(study.class_names) | set(elsewhere)) - set(trained) - {0}):
        yield Finding(
            "missing class",
            [survey.name for survey in elsewhere.get(class_id, [])],
            f"No training scan has {study.name_of(class_id)} (id {class_id}).",
            "Train on a scan that has it, or take it from the list.",
        )
    labelled = [survey for survey in study.training if survey.classes]
    for class_id, surveys in sorted(trained.items()):
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
    for class_id, surveys in sorted(having(study.surveys).items()):
        cut = [survey for survey in surveys if survey.classes[class_id].touches]
        if cut and len(surveys) >= FEWEST_TO_COMPARE and 3 * len(cut) <= len(surveys):
            yield Finding(
                "cut structure",
                [survey.name for survey in cut],
                f"{study.name_of(class_id)} is cut off by the edge of {listed(cut)}, and whole in "
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


RULES: tuple[Rule, ...] = (
    same_labels,
    unnamed_classes,
    missing_classes,
    tiny_structures,
    cut_structures,
    specks,
    mostly_labelled,
)
