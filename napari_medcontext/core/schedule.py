"""How the learning rate goes over a run."""

from __future__ import annotations

import math


def learning_rate_at(step: int, steps: int, *, peak: float, warmup: int) -> float:
    """Return the learning rate at one step, counted from 0: a linear rise, then a cosine to 0."""
    warmup = min(warmup, steps // 2)
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (1.0 + math.cos(math.pi * progress)) / 2.0
