"""What the losses of a batch are means over, when several processes share it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from napari_medcontext.core.losses import Totals, known_voxels
from napari_medcontext.core.objective import LOSSES, StepPlan
from napari_medcontext.core.outputs import Outputs, picked, picked_samples
from napari_medcontext.core.parallel.team import Team

MOST_OUTPUTS = 16
"""A network gives no more outputs at a time: a process that has none must send as many counts."""


def batch_totals(
    team: Team,
    plan: StepPlan,
    labelled: Sequence[bool],
    outputs: Mapping[str, Outputs],
    labels: Tensor,
) -> dict[str, Totals] | None:
    """Return what each loss is a mean over; ``None`` in one process, which has all of it.

    Parameters
    ----------
    team
        The processes.
    plan, labelled
        Of the whole batch.
    outputs
        What the student says of this process's samples, by view; not of views that it has none
        for.
    labels
        Of this process's samples.
    """
    if team.size == 1:
        return None
    own = team.own(len(labelled))
    part, flags = plan.part(own), [labelled[index] for index in own]
    counts = torch.zeros((2, MOST_OUTPUTS), dtype=torch.long, device=labels.device)
    if "whole" in outputs:
        _count(counts[0], outputs["whole"], picked_samples(labels, part.whole))
    taught = part.taught(flags)
    if "masked" in outputs and taught:
        truth = picked_samples(labels, [part.masked[place] for place in taught])
        _count(counts[1], picked(outputs["masked"], taught), truth)
    (known,) = team.summed([counts], [counts])
    assert known is not None
    samples = (len(plan.whole), len(plan.taught(labelled)), len(plan.masked))
    voxels = (known[0], known[1], known[1])
    return {
        name: Totals(many, counted)
        for name, many, counted in zip(LOSSES, samples, voxels, strict=True)
    }


def _count(into: Tensor, outputs: Outputs, labels: Tensor) -> None:
    found = known_voxels(outputs, labels)
    into[: len(found)] = torch.stack(found)
