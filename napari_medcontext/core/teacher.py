"""The teacher: a slow moving average of the student (Eqs. 5 and 6)."""

from __future__ import annotations

import copy
import math
from typing import Literal

import torch
from torch import nn


def make_teacher(student: nn.Module) -> nn.Module:
    """Return a copy of the student that takes no gradient and stays in evaluation mode."""
    teacher = copy.deepcopy(student)
    teacher.requires_grad_(False)
    return teacher.eval()


@torch.no_grad()
def update_teacher(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Move the teacher towards the student: θ_t ← λ θ_t + (1 − λ) θ_s (Eq. 6).

    Buffers (batch-norm statistics) are copied. The minus sign in the paper's Algorithm 1 is
    a misprint.
    """
    torch._foreach_lerp_(
        list(teacher.parameters()),
        [parameter.detach() for parameter in student.parameters()],
        1.0 - momentum,
    )
    for own, other in zip(teacher.buffers(), student.buffers(), strict=True):
        own.copy_(other)


def momentum_at(
    step: int, steps: int, *, momentum: float, schedule: Literal["run_length", "paper"]
) -> float:
    """Return the teacher's momentum λ at one step.

    Parameters
    ----------
    step, steps
        The step, counted from 0, and their number.
    momentum
        λ₀, where the cosine to 1 starts.
    schedule
        ``"paper"``: the cosine. ``"run_length"``: min(cosine, (i + 1) / (i + 10)), which
        makes the teacher an average over about the last tenth of the steps so far. A
        500-step run under the paper's schedule would still carry 37 % of its random start.
    """
    cosine = 1.0 - (1.0 - momentum) * (math.cos(math.pi * step / steps) + 1.0) / 2.0
    if schedule == "paper":
        return cosine
    return min(cosine, (step + 1) / (step + 10))
