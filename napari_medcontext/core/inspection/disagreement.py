"""Where two networks' answers differ, or one network's when something is hidden."""

from __future__ import annotations

import time
from collections.abc import Generator

import numpy as np
import numpy.typing as npt

from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.events import DisagreementFound
from napari_medcontext.core.inspection.asks import DisagreeAsk
from napari_medcontext.core.masking import AXES
from napari_medcontext.core.subject import Subject
from napari_medcontext.core.windows import as_part

Map = npt.NDArray[np.float32]


def disagreement(
    subject: Subject, ask: DisagreeAsk, number: int
) -> Generator[float, None, DisagreementFound]:
    """Answer an ask where answers differ.

    How far two answers lie apart at a voxel is ``Subject.distance``. Against the teacher it is
    taken once; against the masked student it is the mean over the draws; asked for both, the map
    is the mean of the two. A slice's value is the mean over all of its voxels, the share of it
    that two readings are expected to label differently: so a slice in which a large piece is in
    doubt comes before one with a single doubtful voxel at the tip of an organ.

    Yields
    ------
    float
        Share of the work that is done.

    Raises
    ------
    SettingsError
        If there is nothing to compare with.
    """
    started = time.perf_counter()
    with_teacher = ask.with_teacher and subject.has_teacher
    if not with_teacher and not ask.draws:
        raise SettingsError(
            "This run has no teacher to compare the student with. Compare it with itself: ask for "
            "several mask draws."
            if ask.with_teacher
            else "There is nothing to compare: choose the teacher, mask draws, or both."
        )
    maps: list[Map] = []
    parts = with_teacher + ask.draws
    if with_teacher:
        maps.append((yield from as_part(subject.teacher(), 0.0, 1 / parts))[1])
    if ask.draws:
        maps.append((yield from as_part(_over_draws(subject, ask), with_teacher / parts, 1.0)))
    found: Map = np.stack(maps).mean(axis=0)
    axis = AXES.index(ask.axis)
    by_slice = found.mean(axis=tuple(set(range(3)) - {axis}), dtype=np.float64)
    return DisagreementFound(
        ask=number,
        name=subject.scan.name,
        affine=subject.scan.affine,
        disagreement=found,
        axis=ask.axis,
        by_slice=by_slice.astype(np.float32),
        worst=np.argsort(-by_slice, kind="stable"),
        draws=ask.draws,
        with_teacher=with_teacher,
        seconds=time.perf_counter() - started,
    )


def _over_draws(subject: Subject, ask: DisagreeAsk) -> Generator[float, None, Map]:
    """Return the mean distance of the masked student from the unmasked."""
    seen, axis = subject.seen, subject.axis(ask.masking.axis)
    plain = (yield from as_part(seen.whole(), 0.0, 0.2)).numpy()
    total = np.zeros(subject.scan.shape, dtype=np.float32)
    for draw in range(ask.draws):
        rng = np.random.default_rng([ask.seed, draw])
        mask = seen.grid.draw(ask.masking, axis, rng, subject.labels)
        first, step = 0.2 + 0.8 * draw / ask.draws, 0.8 / ask.draws
        work = seen.masked(mask, seen.hidings[0], rng)
        answer = yield from as_part(work, first, first + step)
        before = plain[(slice(None), *answer.region)]
        total[answer.region] += subject.distance(before, answer.probabilities.numpy())
    return total / np.float32(ask.draws)
