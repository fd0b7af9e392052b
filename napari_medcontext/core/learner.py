"""Student, teacher, mask token and optimizer, and the one step that moves them (Eqs. 1 to 6)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.device import Compute
from napari_medcontext.core.losses import consistency, dice_ce
from napari_medcontext.core.masking import MaskToken, draw_tubes
from napari_medcontext.core.networks import build_network, find_network
from napari_medcontext.core.sampler import Batch
from napari_medcontext.core.teacher import make_teacher, momentum_at, update_teacher
from napari_medcontext.core.weights import Weights

MASK_STREAM = 1
"""Keeps the masks' random numbers apart from the patches' of the same seed and step."""


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
        Number of classes, background included.
    mask_axis
        Index of the axis along which columns are hidden.
    compute
        Device and number format.
    """

    def __init__(self, config: RunConfig, classes: int, mask_axis: int, compute: Compute) -> None:
        self._config = config
        self._mask_axis = mask_axis
        self._compute = compute
        self.step = 0
        torch.manual_seed(config.training.seed)
        self.student = build_network(
            config.network, channels=1, classes=classes, patch_size=config.data.patch_size
        ).to(compute.device)
        self.token = MaskToken(1).to(compute.device)
        masked = config.objective.method == "medcontext"
        self.teacher = make_teacher(self.student) if masked else None
        self._one_pass = not _mixes_samples(self.student)
        self._parameters = [*self.student.parameters(), *self.token.parameters()]
        self._peak_rate = (
            config.training.learning_rate
            or find_network(config.network.name).learning_rate[config.network.size]
        )
        self._optimizer = torch.optim.AdamW(
            self._parameters,
            lr=self._peak_rate,
            weight_decay=config.training.weight_decay,
            # Not on Apple's, where older versions of torch have no such optimizer.
            fused=compute.device.type in ("cpu", "cuda"),
        )
        self._scaler = torch.amp.GradScaler(
            compute.device.type, enabled=compute.precision == "float16"
        )

    def learn(self, batch: Batch) -> StepResult:
        """Do one optimizer step on a batch, then move the teacher."""
        device, settings = self._compute.device, self._config.training
        image = batch.image.to(device, non_blocking=True)
        labels = batch.labels.to(device, non_blocking=True)
        rate = learning_rate_at(
            self.step, settings.steps, peak=self._peak_rate, warmup=settings.warmup_steps
        )
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        # Dropout must be the same whether a run was cut before this step or not.
        torch.manual_seed(settings.seed * 1_000_003 + self.step)
        self.student.train()
        losses, total = self._losses(image, labels)
        self._descend(total)
        momentum = self._follow()
        self.step += 1
        return StepResult(
            {name: float(loss.detach()) for name, loss in losses.items()}, momentum, rate
        )

    def masks(self, batch_size: int, shape: tuple[int, int, int]) -> Tensor:
        """Draw one mask a sample for the current step, ``(B, 1, x, y, z)``, on the device."""
        masking = self._config.masking
        seed = self._config.training.seed
        drawn = [
            draw_tubes(
                shape,
                ratio=masking.ratio,
                block_size=masking.block_size,
                axis=self._mask_axis,
                rng=np.random.default_rng([seed, self.step, index, MASK_STREAM]),
            )
            for index in range(batch_size)
        ]
        return torch.as_tensor(np.stack(drawn))[:, None].to(self._compute.device)

    def weights(self) -> dict[str, dict[str, Tensor]]:
        """Return the tensors to save, by network; the token travels with the student."""
        student = {**self.student.state_dict(), "mask_token": self.token.value.detach()}
        if self.teacher is None:
            return {"student": student}
        return {"student": student, "teacher": self.teacher.state_dict()}

    def rest(self) -> dict[str, Any]:
        """Return what else is needed to go on exactly: the optimizer's state."""
        return {"optimizer": self._optimizer.state_dict(), "scaler": self._scaler.state_dict()}

    def restore(
        self, step: int, weights: dict[Weights, dict[str, Tensor]], rest: dict[str, Any]
    ) -> None:
        """Go on from a saved state."""
        student = dict(weights["student"])
        with torch.no_grad():
            self.token.value.copy_(student.pop("mask_token"))
        self.student.load_state_dict(student)
        if self.teacher is not None:
            self.teacher.load_state_dict(weights["teacher"])
        self._optimizer.load_state_dict(rest["optimizer"])
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(rest["scaler"])
        self.step = step

    def _losses(self, image: Tensor, labels: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return the unweighted losses and their sum as the objective weighs them (Eq. 4)."""
        if self.teacher is None:
            with self._compute.autocast():
                logits = self.student(image)
            loss = dice_ce(logits, labels)
            return {"dice_ce": loss}, loss
        batch_size, _, x, y, z = image.shape
        masked_image = self.token(image, self.masks(batch_size, (x, y, z)))
        with self._compute.autocast():
            logits, masked_logits = self._both_views(image, masked_image)
            with torch.no_grad():
                teacher_logits = self.teacher(image)
        losses = {
            "dice_ce": dice_ce(logits, labels),
            "dice_ce_masked": dice_ce(masked_logits, labels),
            "consistency": consistency(masked_logits, teacher_logits),
        }
        weight = self._config.objective.consistency_weight
        total = losses["dice_ce"] + losses["dice_ce_masked"] + weight * losses["consistency"]
        return losses, total

    def _both_views(self, image: Tensor, masked_image: Tensor) -> tuple[Tensor, Tensor]:
        if not self._one_pass:
            return self.student(image), self.student(masked_image)
        first, second = self.student(torch.cat([image, masked_image])).chunk(2)
        return first, second

    def _descend(self, total: Tensor) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(self._scaler.scale(total))
        if self._config.training.gradient_clip:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self._parameters, self._config.training.gradient_clip)
        self._scaler.step(self._optimizer)
        self._scaler.update()

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


def learning_rate_at(step: int, steps: int, *, peak: float, warmup: int) -> float:
    """Return the learning rate at one step, counted from 0: a linear rise, then a cosine to 0."""
    warmup = min(warmup, steps // 2)
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (1.0 + math.cos(math.pi * progress)) / 2.0


def _mixes_samples(network: nn.Module) -> bool:
    """Say whether a layer computes across the batch, so that views must not share a pass."""
    return any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in network.modules())
