"""How a step descends: the learning rate in force, gradients scaled and clipped, weights moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.device import Compute
from napari_medcontext.core.networks import find_network
from napari_medcontext.core.schedule import learning_rate_at


class Descent:
    """The optimizer of a run, AdamW, and what stands around it.

    Parameters
    ----------
    parameters
        What is learned.
    config
        The run's settings; without a learning rate, the network's own for its size counts.
    compute
        Device and number format.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], config: RunConfig, compute: Compute
    ) -> None:
        self.parameters = parameters
        self._training = config.training
        self._peak_rate = (
            config.training.learning_rate
            or find_network(config.network.name).learning_rate[config.network.size]
        )
        self.optimizer = torch.optim.AdamW(
            parameters,
            lr=self._peak_rate,
            weight_decay=config.training.weight_decay,
            # Not on Apple's, where older versions of torch have no such optimizer.
            fused=compute.device.type in ("cpu", "cuda"),
        )
        self._scaler = torch.amp.GradScaler(
            compute.device.type, enabled=compute.precision == "float16"
        )

    def begin(self, step: int) -> float:
        """Forget the gradients of the step before; return the learning rate of this one."""
        training = self._training
        rate = learning_rate_at(
            step, training.steps, peak=self._peak_rate, warmup=training.warmup_steps
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        return rate

    def add_gradients(self, loss: Tensor) -> None:
        """Add a loss's gradients to those of this step, scaled as half precision needs it."""
        torch.autograd.backward(self._scaler.scale(loss))

    def descend(self) -> None:
        """Move the weights."""
        if self._training.gradient_clip:
            self._scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.parameters, self._training.gradient_clip)
        self._scaler.step(self.optimizer)
        self._scaler.update()

    def state(self) -> dict[str, Any]:
        """Return all that is needed to go on exactly."""
        return {"optimizer": self.optimizer.state_dict(), "scaler": self._scaler.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self.optimizer.load_state_dict(state["optimizer"])
        self._lay_moments_out()
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(state["scaler"])

    def _lay_moments_out(self) -> None:
        """Lay the moments out as the weights are: the fused kernel takes that as given.

        Those of a state that was saved by another version may be laid out otherwise.
        """
        for parameter, state in self.optimizer.state.items():
            for name, value in state.items():
                if value.shape == parameter.shape:
                    state[name] = torch.empty_like(parameter).copy_(value)
