"""A network sees a large scan window by window; what it says of each is put together here."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

import torch
from monai.data.utils import compute_importance_map, dense_patch_slices
from torch import Tensor, nn

from napari_medcontext.core.device import Compute, explained_memory_errors
from napari_medcontext.core.padding import padded_to
from napari_medcontext.core.window_sums import Take, WindowSums

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
    sides = tuple(padded.shape[1:])
    axis = rolling_axis(sides, window)
    whole: list[Tensor] = []
    yield from rolling_probabilities(
        networks,
        lambda start, stop: padded.narrow(axis + 1, start, stop - start),
        sides,
        window,
        compute,
        overlap=overlap,
        exclusive=exclusive,
        held=sides[axis],
        take=lambda start, done: whole.append(done),
    )
    return whole[0][(slice(None), *inner)]


def rolling_axis(shape: Sequence[int], window: Size) -> int:
    """Return the axis along which a row of windows, whole across the others, is the smallest."""
    return min(range(3), key=lambda axis: window[axis] / shape[axis])


@torch.inference_mode()
def rolling_probabilities(
    networks: Sequence[nn.Module],
    read: Callable[[int, int], Tensor],
    shape: Sequence[int],
    window: Size,
    compute: Compute,
    *,
    overlap: float,
    exclusive: bool,
    held: int,
    take: Take,
) -> Generator[float, None, None]:
    """Slide a window over an image row by row, and hand out the planes that no window will reach.

    Held are the sums of ``held`` planes across the axis along which is rolled, for each of the K
    outputs, and the image's planes under one row: ``held · (K + 1) + width · C`` times the size of
    a plane, 4 bytes a voxel.

    Parameters
    ----------
    networks, window, compute, overlap, exclusive
        As for ``windowed_probabilities``.
    read
        Returns planes from start to stop along ``rolling_axis``, shape ``(C, x, y, z)``.
    shape
        Of the image, at least that of a window.
    held
        At least the window's side along the axis. With the image's, all is handed out at once.
    take
        Gets planes that are done, in their order: where they start, and their probabilities
        ``(K, x, y, z)``, float32, on the CPU; they are overwritten once it returns, unless all of
        them are held.

    Yields
    ------
    float
        Share of the windows that are done.
    """
    axis = rolling_axis(shape, window)
    boxes, weight = window_boxes(shape, window, overlap), window_weight(window)
    boxes.sort(key=lambda box: box[axis].start)
    sums, first, row, image = WindowSums(shape, axis, held, take), -1, 0, torch.empty(0)
    for done, box in enumerate(boxes):
        yield done / len(boxes)
        if box[axis].start != first:
            first = box[axis].start
            row = sums.reach(first, box[axis].stop)
            image = read(first, box[axis].stop)
        place = list(box)
        place[axis] = slice(0, window[axis])
        with explained_memory_errors(MEMORY_ADVICE):
            here = window_probabilities(networks, image[(slice(None), *place)], compute, exclusive)
            place[axis] = slice(row, row + window[axis])
            sums.add(here, weight, (place[0], place[1], place[2]))
    sums.finish()
    yield 1.0


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
