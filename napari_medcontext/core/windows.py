"""A network sees a large scan window by window; what it says of each is put together here."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TypeVar

import torch
from monai.data.utils import compute_importance_map, dense_patch_slices
from torch import Tensor, nn

from napari_medcontext.core.device import Compute, explained_memory_errors
from napari_medcontext.core.padding import padded_to

SIGMA_SCALE = 0.125
"""Deviation of the Gaussian that weights a window, as a share of the window's sides."""
MEMORY_ADVICE = "Choose a coarser spacing, a smaller patch size or network, or the CPU."

Result = TypeVar("Result")
Size = tuple[int, int, int]
Box = tuple[slice, slice, slice]


@torch.inference_mode()
def windowed_probabilities(
    networks: Sequence[nn.Module],
    image: Tensor,
    window: tuple[int, int, int],
    compute: Compute,
    *,
    overlap: float,
    exclusive: bool = True,
) -> Generator[float, None, Tensor]:
    """Slide a window over an image and average what the networks say.

    Windows are weighted by a Gaussian, so that seams do not show. The sums stay in the
    machine's memory, one window at a time on the device.

    Parameters
    ----------
    networks
        Each maps ``(1, C, x, y, z)`` to logits ``(1, K, x, y, z)``.
    image
        Shape ``(C, x, y, z)``; edges of an image smaller than the window are continued.
    window
        Size of the window in voxels.
    overlap
        Share of a window that the next one covers again.
    exclusive
        Whether a voxel is of one class alone (softmax); else each output is a region's (sigmoid).

    Yields
    ------
    float
        Share of the windows that are done.

    Returns
    -------
    torch.Tensor
        Probabilities, shape ``(K, x, y, z)``, float32, on the CPU.
    """
    padded, inner = padded_to(image, window)
    boxes, weight = window_boxes(padded.shape[1:], window, overlap), window_weight(window)
    total = torch.zeros(padded.shape[1:])
    answer: Tensor | None = None
    for done, box in enumerate(boxes):
        yield done / len(boxes)
        with explained_memory_errors(MEMORY_ADVICE):
            here = window_probabilities(networks, padded[(slice(None), *box)], compute, exclusive)
            if answer is None:
                answer = torch.zeros((here.shape[0], *padded.shape[1:]))
        answer[(slice(None), *box)] += here * weight
        total[box] += weight
    assert answer is not None
    yield 1.0
    # In place: for many classes on a large scan a second array of this size is gigabytes.
    return answer.div_(total)[(slice(None), *inner)]


def as_part(
    work: Generator[float, None, Result], first: float, last: float
) -> Generator[float, None, Result]:
    """Do a part of some work: its progress from 0 to 1 becomes that from ``first`` to ``last``."""
    while True:
        try:
            done = next(work)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        yield first + (last - first) * done


def window_boxes(shape: Sequence[int], window: Size, overlap: float) -> list[Box]:
    """Return where windows lie on a grid that is at least as large as one, all of it covered."""
    step = tuple(max(1, int(side * (1 - overlap))) for side in window)
    boxes: list[Box] = dense_patch_slices(shape, window, step)
    return boxes


def window_weight(window: Size) -> Tensor:
    """Return how much each voxel of a window counts, shape ``(x, y, z)``: a Gaussian."""
    weight: Tensor = compute_importance_map(
        window, mode="gaussian", sigma_scale=SIGMA_SCALE, dtype=torch.float32
    )
    return weight


@torch.inference_mode()
def window_probabilities(
    networks: Sequence[nn.Module], window: Tensor, compute: Compute, exclusive: bool
) -> Tensor:
    """Return the mean of what networks say of one window.

    Parameters
    ----------
    networks, compute, exclusive
        As for ``windowed_probabilities``.
    window
        Shape ``(C, x, y, z)``.

    Returns
    -------
    torch.Tensor
        Probabilities, shape ``(K, x, y, z)``, float32, on the CPU.
    """
    patch = window[None].to(compute.device)
    with compute.autocast():
        answers = [network(patch).float() for network in networks]
    shares = [logits.softmax(1) if exclusive else logits.sigmoid() for logits in answers]
    return torch.stack(shares).mean(0)[0].cpu()
