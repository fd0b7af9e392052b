"""The context probe of one scan, for whoever asks."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import asdict

from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.events import ProbeFinished
from napari_medcontext.core.inspection.asks import ProbeAsk
from napari_medcontext.core.inspection.reconstruct import as_box
from napari_medcontext.core.probe.measure import (
    Target,
    box_target,
    organ_target,
    probe_target,
)
from napari_medcontext.core.probe.rows import ProbeRow
from napari_medcontext.core.probe.shape import training_shapes
from napari_medcontext.core.subject import Subject
from napari_medcontext.core.windows import as_part


def probe(subject: Subject, ask: ProbeAsk, number: int) -> Generator[float, None, ProbeFinished]:
    """Answer an ask how much of its organs a scan's surroundings tell the student.

    Yields
    ------
    float
        Share of the work that is done.

    Raises
    ------
    SettingsError
        If the scan has no labels, or not of what is asked for.
    """
    started = time.perf_counter()
    targets = _targets(subject, ask)
    shapes = training_shapes(subject.run, subject.predictor)
    rows: list[ProbeRow] = []
    for done, target in enumerate(targets):
        work = probe_target(subject, target, shapes, ask.seed)
        rows += yield from as_part(work, done / len(targets), (done + 1) / len(targets))
    return ProbeFinished(
        ask=number,
        name=subject.scan.name,
        rows=tuple(asdict(row) for row in rows),
        seconds=time.perf_counter() - started,
    )


def _targets(subject: Subject, ask: ProbeAsk) -> list[Target]:
    if ask.box is None:
        wanted = ask.class_ids or subject.labelled_ids()
        return [organ_target(subject, k, ask.draws, ask.seed) for k in wanted]
    subject.labelled_ids()
    target = box_target(subject, as_box(ask.box, subject), ask.draws)
    if not target.class_ids:
        raise SettingsError("There is no labelled organ in this box. Draw it round one.")
    return [target]
