"""What one training step descends: who is masked when, and how the losses add up (Eq. 4)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from torch import Tensor

from napari_medcontext.core.losses import Totals, consistency
from napari_medcontext.core.method_settings import ObjectiveSettings
from napari_medcontext.core.outputs import Outputs, finest, picked, picked_samples

LOSSES = ("dice_ce", "dice_ce_masked", "consistency")
"""What a step may descend."""


class SupervisedLoss(Protocol):
    """A loss of outputs against labels, a mean over samples."""

    def __call__(self, outputs: Outputs, labels: Tensor, *, of: Totals | None = None) -> Tensor:
        """Return the loss; of all samples that ``of`` tells of, what these add to it."""


@dataclass(frozen=True)
class StepPlan:
    """Which samples of a batch the student sees whole and which masked, and what that weighs.

    Parameters
    ----------
    whole, masked
        Indices into the batch, rising. Samples without labels are never in ``whole``: nothing
        could be learned from them there.
    masked_weight, consistency_weight
        Weights of the masked supervised loss and of agreeing with the teacher (β) now.
    one_view
        Whether whole and masked samples share one supervised loss.
    """

    whole: tuple[int, ...]
    masked: tuple[int, ...]
    masked_weight: float
    consistency_weight: float
    one_view: bool

    def part(self, own: Sequence[int]) -> StepPlan:
        """Return the plan of some samples, as indices into these, rising."""
        return replace(
            self,
            whole=tuple(place for place, index in enumerate(own) if index in self.whole),
            masked=tuple(place for place, index in enumerate(own) if index in self.masked),
        )

    def taught(self, labelled: Sequence[bool]) -> list[int]:
        """Return which of the masked samples have labels, as indices into these."""
        return [place for place, index in enumerate(self.masked) if labelled[index]]

    def weights(self, labelled: Sequence[bool]) -> dict[str, float]:
        """Return what each loss weighs in their sum, given which samples have labels."""
        weights = dict(zip(LOSSES, (1.0, self.masked_weight, self.consistency_weight), strict=True))
        if self.one_view:
            # Together they are one supervised loss: the mean over the samples of the one view.
            taught = len(self.taught(labelled))
            seen = len(self.whole) + taught
            weights["dice_ce"] *= len(self.whole) / max(seen, 1)
            weights["dice_ce_masked"] *= taught / max(seen, 1)
        return weights


def plan_step(
    settings: ObjectiveSettings,
    step: int,
    steps: int,
    labelled: Sequence[bool],
    rng: np.random.Generator,
) -> StepPlan:
    """Decide what happens with each sample of a batch.

    Of the samples with labels the share that is asked for is masked, up or down to a whole
    number by chance, so that it holds on average; which ones, is drawn too. Samples without
    labels are masked whenever the teacher has a say, and else left out.

    Parameters
    ----------
    step, steps
        The step, counted from 0, and their number.
    labelled
        Whether a sample has labels, for each of the batch.
    rng
        Source of randomness.
    """
    known = [index for index, has_labels in enumerate(labelled) if has_labels]
    bare = [index for index, has_labels in enumerate(labelled) if not has_labels]
    beta = consistency_weight_at(settings, step, steps)
    share = masked_share_at(settings, step, steps)
    if not settings.masked_weight and not beta:
        share = 0.0
    count = min(len(known), math.floor(len(known) * share + rng.random()))
    chosen = sorted(int(index) for index in rng.permutation(known)[:count])
    one_view = settings.views == "one"
    whole = [index for index in known if not (one_view and index in chosen)]
    masked = sorted([*chosen, *(bare if beta else [])])
    if not whole and not masked:
        # Of this batch nothing is known, and its loss moves nothing.
        whole = list(range(len(labelled)))
    return StepPlan(tuple(whole), tuple(masked), settings.masked_weight, beta, one_view)


def masking_start(settings: ObjectiveSettings, steps: int) -> int:
    """Return the step, counted from 0, from which on samples are masked."""
    return round(settings.masked_start * steps) if settings.has_masked_view else steps


def masked_share_at(settings: ObjectiveSettings, step: int, steps: int) -> float:
    """Return the share of the samples that is masked at a step."""
    start = masking_start(settings, steps)
    return settings.masked_share * _risen(step - start, settings.masked_ramp * steps)


def consistency_weight_at(settings: ObjectiveSettings, step: int, steps: int) -> float:
    """Return β at a step."""
    if not settings.has_consistency:
        return 0.0
    since = step - masking_start(settings, steps)
    return settings.consistency_weight * _risen(since, settings.consistency_ramp * steps)


def weighed_losses(
    plan: StepPlan,
    outputs: Outputs | None,
    masked_outputs: Outputs | None,
    teacher_logits: Tensor | None,
    labels: Tensor,
    labelled: Sequence[bool],
    supervised: SupervisedLoss,
    weights: Mapping[str, float],
    totals: Mapping[str, Totals] | None = None,
) -> tuple[dict[str, Tensor], Tensor]:
    """Return the unweighted losses of a step, and their weighed sum (Eq. 4).

    Parameters
    ----------
    outputs, masked_outputs
        The student's, of the plan's whole and of its masked samples; ``None`` where there are
        none.
    teacher_logits
        The teacher's, of the masked samples seen whole; ``None`` where it has no say.
    labels
        Of the whole batch, shape ``(B, 1, x, y, z)``.
    labelled
        Whether a sample has labels, for each of the batch.
    supervised
        The loss of outputs against labels, a mean over samples.
    weights
        What each loss weighs: of the plan of the whole batch.
    totals
        What each loss is a mean over, where these samples are but some of the batch.
    """
    losses: dict[str, Tensor] = {}
    of = totals or {}
    if outputs is not None:
        truth = picked_samples(labels, plan.whole)
        losses["dice_ce"] = supervised(outputs, truth, of=of.get("dice_ce"))
    taught = plan.taught(labelled)
    if masked_outputs is not None and taught and plan.masked_weight:
        truth = picked_samples(labels, [plan.masked[place] for place in taught])
        seen = picked(masked_outputs, taught)
        losses["dice_ce_masked"] = supervised(seen, truth, of=of.get("dice_ce_masked"))
    if masked_outputs is not None and teacher_logits is not None:
        samples = of["consistency"].samples if of else None
        losses["consistency"] = consistency(finest(masked_outputs), teacher_logits, samples)
    return losses, _sum(losses, weights)


def _sum(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    weighed = [
        loss if weights[name] == 1.0 else weights[name] * loss for name, loss in losses.items()
    ]
    total = weighed[0]
    for loss in weighed[1:]:
        total = total + loss
    return total


def _risen(since: int, length: float) -> float:
    """Return how far something has risen, 0 to 1, so many steps after its start."""
    if since < 0:
        return 0.0
    return min(1.0, (since + 1) / length) if length > 0 else 1.0
