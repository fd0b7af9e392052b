"""One training step of MedContext written plainly, as its released code does: what to beat.

Float32 all through, one pass of the student for each view, MONAI's own loss, the ordinary AdamW
and a loop over the weights that moves the teacher. It draws the same weights and masks as
``core.learner.Learner`` does, so that both must find the same losses.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from monai.losses import DiceCELoss
from torch import Tensor, nn

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.losses import labels_at
from napari_medcontext.core.masking import draw_mask
from napari_medcontext.core.masking.step_masks import MASK_STREAM
from napari_medcontext.core.networks import build_network, find_network
from napari_medcontext.core.outputs import Outputs, finest
from napari_medcontext.core.sampler import Batch
from napari_medcontext.core.schedule import learning_rate_at
from napari_medcontext.core.teacher import momentum_at


class PlainLearner:
    """Student, teacher, mask token and optimizer without any of this package's economies.

    It knows the objective with two views of every patch, and voxels hidden by one learned value.

    Parameters
    ----------
    config
        The run's settings.
    classes
        Number of classes, background included.
    mask_axis
        Index of the axis along which columns are hidden.
    device
        Where to compute.
    """

    def __init__(
        self, config: RunConfig, classes: int, mask_axis: int, device: torch.device
    ) -> None:
        self._config, self._mask_axis, self._device = config, mask_axis, device
        self.step = 0
        torch.manual_seed(config.training.seed)
        self.student = build_network(
            config.network, channels=1, classes=classes, patch_size=config.data.patch_size
        ).to(device)
        self.token = nn.Parameter(torch.zeros(1, device=device))
        self.teacher: nn.Module | None = None
        if config.objective.method == "medcontext":
            self.teacher = copy.deepcopy(self.student).eval()
        self._loss = DiceCELoss(
            to_onehot_y=True, softmax=True, squared_pred=True, smooth_nr=0.0, smooth_dr=1e-6
        )
        self._parameters = [*self.student.parameters(), self.token]
        network = find_network(config.network.name)
        self._rate = config.training.learning_rate or network.learning_rate[config.network.size]
        self._optimizer = torch.optim.AdamW(
            self._parameters, lr=self._rate, weight_decay=config.training.weight_decay
        )

    def learn(self, batch: Batch) -> dict[str, float]:
        """Do one optimizer step on a batch, move the teacher, and return the unweighted losses."""
        settings = self._config.training
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate_at(
                self.step, settings.steps, peak=self._rate, warmup=settings.warmup_steps
            )
        torch.manual_seed(settings.seed * 1_000_003 + self.step)
        self.student.train()
        image, labels = batch.image.to(self._device), batch.labels.to(self._device)
        losses = {"dice_ce": self._supervised(self.student(image), labels)}
        if self.teacher is not None:
            losses |= self._masked_losses(self.teacher, image, labels)
        beta = self._config.objective.consistency_weight
        total = sum(beta * v if k == "consistency" else v for k, v in losses.items())
        assert isinstance(total, Tensor)
        self._optimizer.zero_grad()
        total.backward()
        if settings.gradient_clip:
            nn.utils.clip_grad_norm_(self._parameters, settings.gradient_clip)
        self._optimizer.step()
        if self.teacher is not None:
            self._move(self.teacher)
        self.step += 1
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _masked_losses(
        self, teacher: nn.Module, image: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        hidden = self._masks(image.shape).to(image.dtype)
        outputs = self.student(image * (1 - hidden) + self.token * hidden)
        with torch.no_grad():
            target = teacher(image)
        difference = (finest(outputs) - target).flatten(1).square().sum(1)
        return {
            "dice_ce_masked": self._supervised(outputs, labels),
            "consistency": (difference / target.flatten(1).square().sum(1)).mean(),
        }

    def _supervised(self, outputs: Outputs, labels: Tensor) -> Tensor:
        outputs = [outputs] if isinstance(outputs, Tensor) else outputs
        shares = [0.5**level for level in range(len(outputs))]
        losses = [
            share * self._loss(logits, labels_at(labels, logits.shape[2:]))
            for share, logits in zip(shares, outputs, strict=True)
        ]
        return torch.stack(losses).sum() / sum(shares)

    def _masks(self, shape: torch.Size) -> Tensor:
        count, _, x, y, z = shape
        seed = self._config.training.seed
        drawn = [
            draw_mask(
                self._config.masking,
                (x, y, z),
                spacing=(1.0, 1.0, 1.0),
                axis=self._mask_axis,
                rng=np.random.default_rng([seed, self.step, index, MASK_STREAM]),
            )
            for index in range(count)
        ]
        return torch.as_tensor(np.stack(drawn))[:, None].to(self._device)

    @torch.no_grad()
    def _move(self, teacher: nn.Module) -> None:
        objective = self._config.objective
        momentum = momentum_at(
            self.step,
            self._config.training.steps,
            momentum=objective.momentum,
            schedule=objective.momentum_schedule,
        )
        for own, other in zip(teacher.parameters(), self.student.parameters(), strict=True):
            own.mul_(momentum).add_(other, alpha=1.0 - momentum)
        for own, other in zip(teacher.buffers(), self.student.buffers(), strict=True):
            own.copy_(other)
