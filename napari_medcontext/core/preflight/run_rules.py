"""What to look for in what the training is to do with the scans, one function a kind of finding."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import psutil

from napari_medcontext.core.preflight.findings import Finding, Study
from napari_medcontext.core.preflight.rules import Rule, having, sizes

PATCH_SHARE = 0.25
"""Below this share of a structure's extent, a patch sees none of what lies round it."""
BYTES_A_VOXEL = 5
MEMORY_SHARE = 0.8


def small_patches(study: Study) -> Iterator[Finding]:
    """Find patches that see a small part of a structure, and nothing round it."""
    patch = np.array(study.config.data.patch_size) * study.spacing
    for class_id, surveys in sorted(having(study.training).items()):
        extent = np.median([survey.classes[class_id].extent for survey in surveys], axis=0)
        if (patch < PATCH_SHARE * extent).any():
            yield Finding(
                "small patch",
                [],
                f"A patch is {sizes(patch)} mm, {study.name_of(class_id)} {sizes(extent)} mm: a "
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
                f"“{survey.name}” has {sizes(voxels)} voxels at the spacing of the training, less "
                "than half a patch along an axis; the rest of a patch repeats its edge.",
                "Choose a smaller patch along that axis, or a finer spacing.",
            )


def memory(study: Study) -> Iterator[Finding]:
    """Find more voxels than the machine's memory takes at once."""
    largest = max(
        (float(np.prod(np.array(survey.shape) * survey.spacing)) for survey in study.surveys),
        default=0.0,
    )
    outputs = len(study.classes) + 1
    needed = largest / float(np.prod(study.spacing)) * (BYTES_A_VOXEL + 4 * outputs)
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
    small_patches,
    small_scans,
    memory,
)
