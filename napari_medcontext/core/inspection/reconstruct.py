"""Hide a part of a scan, and see what the student makes of the rest."""

from __future__ import annotations

import time
from collections.abc import Generator

import numpy as np

from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.events import Reconstructed
from napari_medcontext.core.inspection.asks import Hiding, ReconstructAsk, VoxelBox
from napari_medcontext.core.mask_grid import Mask
from napari_medcontext.core.masking.structure import box_round
from napari_medcontext.core.subject import Subject
from napari_medcontext.core.windows import Box, as_part

NOISE_STREAM = 1
"""Keeps the noise in hidden places apart from the draw of the places."""


def reconstruct(
    subject: Subject, ask: ReconstructAsk, number: int
) -> Generator[float, None, Reconstructed]:
    """Answer an ask to hide a part of the scan.

    Yields
    ------
    float
        Share of the work that is done.

    Raises
    ------
    SettingsError
        If what is asked cannot be hidden, or not so.
    """
    started = time.perf_counter()
    seen = subject.seen
    hiding = chosen_hiding(subject, ask.hiding)
    mask = _mask(subject, ask)
    student = yield from as_part(subject.student(), 0.0, 0.3)
    teacher = None
    if subject.has_teacher:
        teacher, _ = yield from as_part(subject.teacher(), 0.3, 0.6)
    work = seen.masked(mask, hiding, _noise(ask.seed))
    answer = yield from as_part(work, 0.6, 1.0)
    decided = subject.decided(answer, student)
    where, to_ids = seen.grid.cropped(mask), subject.classes.to_ids
    return Reconstructed(
        ask=number,
        name=subject.scan.name,
        affine=subject.scan.affine,
        image=subject.scan.shown.numpy(),
        masked=seen.shown(mask, hiding, _noise(ask.seed)).numpy(),
        student_masked=to_ids(decided),
        student=to_ids(student),
        mask=where,
        share=float(where.mean()),
        hidden=hidden_shares(subject, where),
        dsc_inside=subject.dice(decided, where),
        dsc_outside=subject.dice(decided, ~where),
        dsc_visible=subject.dice(student, where),
        teacher=None if teacher is None else to_ids(teacher),
        reference=subject.reference,
        seconds=time.perf_counter() - started,
    )


def chosen_hiding(subject: Subject, hiding: Hiding | None) -> Hiding:
    """Return what stands in hidden places: what is asked for, else the token, else the mean."""
    return hiding or subject.seen.hidings[0]


def as_box(box: VoxelBox, subject: Subject) -> Box:
    """Return a box on the scan's grid, cut at its edges.

    Raises
    ------
    SettingsError
        If it lies outside the scan.
    """
    shape = subject.scan.shape
    x, y, z = (
        slice(start, min(stop, side)) for (start, stop), side in zip(box, shape, strict=True)
    )
    if any(side.start >= side.stop for side in (x, y, z)):
        raise SettingsError(
            f"The box {box} lies outside of “{subject.scan.name}”, which has {tuple(shape)} voxels "
            "at the run's spacing. Draw it on the scan."
        )
    return x, y, z


def hidden_shares(subject: Subject, where: Mask) -> dict[int, float]:
    """Return which share of each labelled class is hidden; classes that are absent left out."""
    counts = {k: np.count_nonzero(mask) for k, mask in subject.reference_masks.items()}
    return {
        k: float(np.count_nonzero(subject.reference_masks[k] & where) / count)
        for k, count in counts.items()
        if count
    }


def _mask(subject: Subject, ask: ReconstructAsk) -> Mask:
    grid, rng = subject.seen.grid, np.random.default_rng(ask.seed)
    if ask.box is not None:
        return grid.boxed(as_box(ask.box, subject))
    if ask.class_id is not None:
        return grid.boxed(box_round(subject.mask_of(ask.class_id), rng))
    return grid.draw(ask.masking, subject.axis(ask.masking.axis), rng, subject.labels)


def _noise(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, NOISE_STREAM])
