"""Student, teacher and mask token, and the one step that moves them (Eqs. 1 to 6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.descent import Descent
from napari_medcontext.core.device import Compute
from napari_medcontext.core.errors import SettingsError
from napari_medcontext.core.losses import dice_bce, dice_ce
from napari_medcontext.core.masking.sites import make_token
from napari_medcontext.core.masking.step_masks import StepMasks
from napari_medcontext.core.networks import build_network, find_network
from napari_medcontext.core.objective import (
    LOSSES,
    StepPlan,
    SupervisedLoss,
    plan_step,
    weighed_losses,
)
from napari_medcontext.core.outputs import Outputs, parts, picked_samples
from napari_medcontext.core.parallel.batch_totals import batch_totals
from napari_medcontext.core.parallel.team import Team
from napari_medcontext.core.pretrained import LoadReport, load_matching
from napari_medcontext.core.sampler import Batch
from napari_medcontext.core.teacher import make_teacher, momentum_at, update_teacher
from napari_medcontext.core.volume import Spacing
from napari_medcontext.core.weights import Weights

PLAN_STREAM = 2
"""Keeps the choice of the samples that are masked apart from other random numbers of a step."""
RANK_STRIDE = 1 << 40
"""Keeps dropout in one process apart from that in another, at any step of any run."""


@dataclass(frozen=True)
class StepResult:
    """What one step measured: unweighted losses, λ and the learning rate in force."""

    losses: Mapping[str, float]
    momentum: float
    learning_rate: float


class Learner:
    """All that learns in a run.

    Parameters
    ----------
    config
        The run's settings.
    classes
        Number of the network's outputs: classes, background included, or regions.
    mask_axis
        Index of the axis along which columns are hidden.
    compute
        Device and number format.
    membership
        Which class of the labels belongs to which region, shape ``(regions, classes)``, where
        regions are learned: then the network has one sigmoid output for each.
    spacing
        The run's voxel size in mm, which turns mask blocks in millimetres into voxels.
    channels
        Channels of the scans.
    resumed
        Whether a saved state is restored next, so that weights from elsewhere are not needed.
    team
        The processes that learn together: batches are this one's share of theirs.

    Raises
    ------
    SettingsError
        If the network cannot learn in several processes.
    """

    def __init__(
        self,
        config: RunConfig,
        classes: int,
        mask_axis: int,
        compute: Compute,
        membership: npt.NDArray[np.bool_] | None = None,
        spacing: Spacing = (1.0, 1.0, 1.0),
        *,
        channels: int = 1,
        resumed: bool = False,
        team: Team | None = None,
    ) -> None:
        self._config = config
        self._compute = compute
        self._team = team or Team()
        self.step = 0
        torch.manual_seed(config.training.seed)
        self.student = build_network(
            config.network, channels=channels, classes=classes, patch_size=config.data.patch_size
        ).to(compute.device)
        if self._team.size > 1 and _mixes_samples(self.student):
            raise SettingsError(
                f"{config.network.name} normalises over the batch, of which several processes see "
                "a share each: they would learn something else than one. Train it in one process, "
                "or choose another network."
            )
        network = find_network(config.network.name)
        if network.own:
            # Convolutions are faster so; a network of somebody else need not be made for it.
            self.student.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.pretrained: LoadReport | None = None
        if config.network.pretrained is not None and not resumed:
            self.pretrained = load_matching(self.student, config.network.pretrained)
        self._masks = StepMasks(config, mask_axis, spacing, self._team)
        self.token = make_token(config, self.student, spacing, channels)
        self.teacher = make_teacher(self.student) if config.objective.has_teacher else None
        # Whole and masked samples of one view are one batch, which layers may mix. Two views in
        # one pass keep a GPU busier; elsewhere they only need more memory at a time.
        batched = compute.device.type == "cuda" and not _mixes_samples(self.student)
        self._one_pass = config.objective.views == "one" or batched
        self._supervised: SupervisedLoss = dice_ce
        if membership is not None:
            table = torch.as_tensor(membership, device=compute.device)
            self._supervised = partial(dice_bce, membership=table)
        self.descent = Descent(
            [*self.student.parameters(), *self.token.parameters()], config, compute
        )

    def learn(self, batch: Batch) -> StepResult:
        """Do one optimizer step on a batch, then move the teacher."""
        rate = self.descent.begin(self.step)
        # Dropout must be the same whether a run was cut before this step or not.
        seed = self._config.training.seed
        torch.manual_seed(seed * 1_000_003 + self.step + self._team.rank * RANK_STRIDE)
        self.student.train()
        losses = self._joined(self._backward(batch))
        self.descent.descend()
        momentum = self._follow()
        self.step += 1
        return StepResult(
            {name: float(loss.detach()) for name, loss in losses.items()}, momentum, rate
        )

    def masks(
        self, batch_size: int, shape: tuple[int, int, int], labels: Tensor | None = None
    ) -> Tensor:
        """Draw one mask a sample for the current step, ``(B, 1, x, y, z)``, on the device."""
        drawn = self._masks.draw(self.step, batch_size, shape, labels)
        return drawn.to(self._compute.device)

    def tensors(self) -> list[Tensor]:
        """Return all that is learned, and what goes with it."""
        networks = filter(None, (self.student, self.token, self.teacher))
        return [tensor for network in networks for tensor in network.state_dict().values()]

    def weights(self) -> dict[str, dict[str, Tensor]]:
        """Return the tensors to save, by network; the token travels with the student."""
        student = {**self.student.state_dict(), "mask_token": self.token.value.detach()}
        if self.teacher is None:
            return {"student": student}
        return {"student": student, "teacher": self.teacher.state_dict()}

    def rest(self) -> dict[str, Any]:
        """Return what else is needed to go on exactly: the optimizer's state."""
        return self.descent.state()

    def restore(
        self, step: int, weights: dict[Weights, dict[str, Tensor]], rest: dict[str, Any]
    ) -> None:
        """Go on from a saved state."""
        student = dict(weights["student"])
        self.token.load_state_dict({"value": student.pop("mask_token")})
        self.student.load_state_dict(student)
        if self.teacher is not None:
            self.teacher.load_state_dict(weights["teacher"])
        self.descent.restore(rest)
        self.step = step

    def _backward(self, batch: Batch) -> dict[str, Tensor]:
        """Add up the gradients of a step (Eq. 4); return its unweighted losses.

        Views that do not share a pass are let go one by one: the gradient of a sum is the sum of
        the gradients, and what one view's pass keeps for it is free before the next.
        """
        seed, steps = self._config.training.seed, self._config.training.steps
        draws = np.random.default_rng([seed, self.step, PLAN_STREAM])
        labelled = self._team.joined(batch.labelled)
        # Of the whole batch, and of those of its samples that are here.
        plan = plan_step(self._config.objective, self.step, steps, labelled, draws)
        own = plan.part(self._team.own(len(labelled)))
        image = batch.image.to(self._compute.device, non_blocking=True)
        labels = batch.labels.to(self._compute.device, non_blocking=True)
        # The teacher first, while no pass of the student keeps anything.
        teacher_logits = self._taught(image, own)
        views, masks = self._views(image, batch.labels, own)
        losses: dict[str, Tensor] = {}
        for names in self._passes(plan):
            here = {name: views[name] for name in names if name in views}
            outputs: Mapping[str, Outputs] = {}
            if here:
                with self._compute.autocast():
                    outputs = self._student_on(here, masks)
            totals = batch_totals(self._team, plan, labelled, outputs, labels)
            if not here:
                continue
            found, total = weighed_losses(
                own,
                outputs.get("whole"),
                outputs.get("masked"),
                teacher_logits,
                labels,
                batch.labelled,
                self._supervised,
                plan.weights(labelled),
                totals,
            )
            del outputs
            self.descent.add_gradients(total)
            losses |= {name: loss.detach() for name, loss in found.items()}
        return losses

    def _passes(self, plan: StepPlan) -> list[tuple[str, ...]]:
        """Return which views go through the student together; the same in all processes."""
        seen = {"whole": plan.whole, "masked": plan.masked}
        names = [name for name, samples in seen.items() if samples]
        return [tuple(names)] if self._one_pass else [(name,) for name in names]

    def _joined(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Add up gradients and losses over all processes."""
        if self._team.size == 1:
            return losses
        parameters = self.descent.parameters
        zero = torch.zeros((), dtype=parameters[0].dtype, device=self._compute.device)
        gradients = [parameter.grad for parameter in parameters]
        summed = self._team.summed(
            [*gradients, *(losses.get(name) for name in LOSSES)],
            [*parameters, *(zero for _ in LOSSES)],
        )
        for parameter, gradient in zip(parameters, summed, strict=False):
            parameter.grad = gradient
        found = zip(LOSSES, summed[len(gradients) :], strict=True)
        return {name: loss for name, loss in found if loss is not None}

    def _taught(self, image: Tensor, plan: StepPlan) -> Tensor | None:
        """Return the teacher's logits of the samples that are masked, where it has a say."""
        if self.teacher is None or not plan.masked or not plan.consistency_weight:
            return None
        with self._compute.autocast(), torch.no_grad():
            return self.teacher(picked_samples(image, plan.masked))  # type: ignore[no-any-return]

    def _views(
        self, image: Tensor, labels: Tensor, plan: StepPlan
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Return the samples that are seen whole and masked, by view, and the masks of these.

        The masked view is the last, so that a pass hides it and leaves the other as it is.
        """
        views, masks = {}, None
        if plan.whole:
            views["whole"] = picked_samples(image, plan.whole)
        if plan.masked:
            batch_size, _, x, y, z = image.shape
            masks = picked_samples(self.masks(batch_size, (x, y, z), labels), plan.masked)
            views["masked"] = self.token(picked_samples(image, plan.masked), masks)
        return views, masks

    def _student_on(self, views: Mapping[str, Tensor], masks: Tensor | None) -> dict[str, Outputs]:
        """Return what the student says of each view, in one pass."""
        together = self._student_masked(
            torch.cat(list(views.values())), masks if "masked" in views else None
        )
        sizes = [len(view) for view in views.values()]
        return dict(zip(views, parts(together, sizes), strict=True))

    def _student_masked(self, view: Tensor, masks: Tensor | None) -> Outputs:
        if masks is None:
            return self.student(view)  # type: ignore[no-any-return]
        with self.token.hiding(self.student, masks):
            return self.student(view)  # type: ignore[no-any-return]

    def _follow(self) -> float:
        if self.teacher is None:
            return 0.0
        objective = self._config.objective
        momentum = momentum_at(
            self.step,
            self._config.training.steps,
            momentum=objective.momentum,
            schedule=objective.momentum_schedule,
        )
        update_teacher(self.teacher, self.student, momentum)
        return momentum


def _mixes_samples(network: nn.Module) -> bool:
    """Say whether a layer computes across the batch, so that views must not share a pass."""
    return any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in network.modules())
