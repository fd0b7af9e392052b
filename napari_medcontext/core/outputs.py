"""What a network answers: logits, or while it trains a sequence of them for deep supervision."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Outputs = Tensor | Sequence[Tensor]
"""Logits ``(B, K, x, y, z)``; in training mode perhaps several, finest first."""


def finest(outputs: Outputs) -> Tensor:
    """Return the logits of the highest resolution."""
    return outputs if isinstance(outputs, Tensor) else outputs[0]


def picked(outputs: Outputs, samples: Sequence[int]) -> Outputs:
    """Return some samples' part, ``(samples, K, x, y, z)``; without a copy where it is all."""
    if isinstance(outputs, Tensor):
        return picked_samples(outputs, samples)
    return [picked_samples(output, samples) for output in outputs]


def picked_samples(tensor: Tensor, samples: Sequence[int]) -> Tensor:
    """Return some samples of a batch, without a copy where they are all of it."""
    return tensor if len(samples) == len(tensor) else tensor[list(samples)]


def parts(outputs: Outputs, sizes: Sequence[int]) -> list[Outputs]:
    """Split what came out of several views in one batch into what belongs to each."""
    if isinstance(outputs, Tensor):
        return list(torch.split(outputs, list(sizes)))
    return [
        list(part) for part in zip(*(torch.split(o, list(sizes)) for o in outputs), strict=True)
    ]
