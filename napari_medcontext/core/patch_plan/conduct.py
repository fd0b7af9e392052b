"""Make a patch plan: look at every scan's labels, measure steps, recommend a size."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

import numpy as np

from napari_medcontext.core.checks import checked_labels
from napari_medcontext.core.config import Case
from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.events import Event, Preparing, RunFinished, Warned
from napari_medcontext.core.io import read_geometry, read_volume
from napari_medcontext.core.networks import PatchSize
from napari_medcontext.core.patch_plan.advice import advised
from napari_medcontext.core.patch_plan.measure import ScanSight, scan_sight, size_sights
from napari_medcontext.core.patch_plan.plan import PlanFolder, PlanSpec
from napari_medcontext.core.patch_plan.results import write_results
from napari_medcontext.core.patch_plan.sight import PatchPlan, StepCost, size_text
from napari_medcontext.core.patch_plan.sizes import (
    SIDES,
    candidate_sizes,
    parsed_sizes,
    training_spacing,
)
from napari_medcontext.core.patch_plan.step_cost import Device, measured_steps
from napari_medcontext.core.regrid import labels_onto
from napari_medcontext.core.training_settings import DataSettings
from napari_medcontext.core.volume import Spacing, Volume


def conduct_plan(folder: PlanFolder) -> Iterator[Event]:
    """Make the plan that a folder asks for, and write its table and figure.

    Yields
    ------
    Preparing, Warned
        Progress; what could not be drawn.
    RunFinished
        Last, with the recommendation in words.

    Raises
    ------
    MedContextError
        If labels cannot be used.
    """
    spec = folder.spec()
    cases = [case for case in spec.cases if case.role == "training" and case.labels is not None]
    if not cases:
        raise ScanError("No training scan has labels, so there is nothing to plan patches by.")
    spacing = training_spacing(spec.config, cases)
    sizes = _sizes(spec, spacing)
    scans: list[ScanSight] = []
    names: dict[int, str] = {}
    for done, case in enumerate(cases):
        if folder.command() == "stop":
            yield RunFinished("stopped", 0, "Stopped; no patch size was recommended.")
            return
        yield Preparing(f"Drawing patches of {case.name}", done, len(cases))
        labels = _labels(case, spec.config.data)
        names |= labels.class_names
        draws = -(-spec.draws // len(cases))
        unknown = spec.config.data.ignore_label
        scans.append(scan_sight(labels, spacing, sizes, draws, unknown=unknown, seed=done))
    plan = PatchPlan(
        network=spec.config.network.name,
        batch_size=spec.config.training.batch_size,
        spacing=spacing,
        scans=len(scans),
        sights=tuple(size_sights(scans, sizes, spacing, {**names, **spec.class_names})),
    )
    if spec.probe:
        plan = yield from _with_costs(plan, spec, sizes)
    plan = advised(plan, spec.most_seconds)
    folder.keep(plan)
    if problem := write_results(folder.path, plan):
        yield Warned(problem)
    yield RunFinished("completed", len(scans), plan.reason)


def _with_costs(
    plan: PatchPlan, spec: PlanSpec, sizes: Sequence[PatchSize]
) -> Generator[Event, None, PatchPlan]:
    costs: list[StepCost] = []
    classes = 1 + max((len(sight.classes) for sight in plan.sights), default=1)
    yield Preparing(f"Measuring a step of {size_text(sizes[0])}", 0, len(sizes))
    channels = max(1, len(spec.channels))
    for told in measured_steps(spec.config, classes, channels, plan.spacing, sizes):
        if isinstance(told, Device):
            facts = {"device": told.title, "available_gib": told.available_gib}
            plan = plan.model_copy(update=facts)
            continue
        costs.append(told)
        if len(costs) < len(sizes):
            text = f"Measuring a step of {size_text(sizes[len(costs)])}"
            yield Preparing(text, len(costs), len(sizes))
    return plan.model_copy(update={"costs": tuple(costs)})


def _sizes(spec: PlanSpec, spacing: Spacing) -> list[PatchSize]:
    network = spec.config.network.name
    if spec.sizes:
        return parsed_sizes(spec.sizes, spacing, network)
    return candidate_sizes(SIDES, spacing, network)


def _labels(case: Case, data: DataSettings) -> Volume:
    assert case.labels is not None
    labels, grid = read_volume(case.labels), read_geometry(case.image, channels=True)
    if data.resample:
        labels = labels_onto(labels, grid, data.ignore_label or 0)
    labels = checked_labels(labels, grid, data.ignore_label)
    if data.classes is None:
        return labels
    # Others count as background in the training too.
    learned = np.isin(labels.array, [*data.classes, data.ignore_label or 0])
    return labels.with_array(np.where(learned, labels.array, labels.array.dtype.type(0)))
