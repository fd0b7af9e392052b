"""What a network said of windows, summed up, for no more planes of an image than are in work."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Take = Callable[[int, Tensor], None]
"""Gets planes ``(K, x, y, z)``, and at which plane they start."""


class WindowSums:
    """Weighted sums of probabilities over some planes of an image, which move on along an axis.

    Parameters
    ----------
    shape
        Of the image, along x, y, z.
    axis
        Along which they move on.
    held
        Number of planes that are held.
    take
        Gets planes that are done, in their order.
    """

    def __init__(self, shape: Sequence[int], axis: int, held: int, take: Take) -> None:
        self._shape = [min(held, side) if at == axis else side for at, side in enumerate(shape)]
        self._axis, self._take = axis, take
        self._first, self._stop = 0, 0
        self._total = torch.zeros(self._shape)
        self._answer: Tensor | None = None

    def reach(self, start: int, stop: int) -> int:
        """Make room for planes up to ``stop``, those before ``start`` being done.

        Returns
        -------
        int
            Where the plane ``start`` is now.
        """
        if stop - self._first > self._shape[self._axis]:
            self._hand_out(start - self._first)
            self._move(start - self._first)
            self._first = start
        self._stop = stop
        return start - self._first

    def add(self, here: Tensor, weight: Tensor, place: tuple[slice, ...]) -> None:
        """Add what was said of a window, shape ``(K, x, y, z)``, at its place in what is held."""
        if self._answer is None:
            self._answer = torch.zeros((len(here), *self._shape))
        self._answer[(slice(None), *place)] += here * weight
        self._total[place] += weight

    def finish(self) -> None:
        """Hand out the last planes."""
        self._hand_out(self._stop - self._first)

    def _hand_out(self, count: int) -> None:
        assert self._answer is not None
        done = self._answer.narrow(self._axis + 1, 0, count)
        # In place: for many classes on a large scan a second array of this size is gigabytes.
        self._take(self._first, done.div_(self._total.narrow(self._axis, 0, count)))

    def _move(self, count: int) -> None:
        """Bring the planes from ``count`` on to the front, and begin the others anew."""
        assert self._answer is not None
        for sums, axis in ((self._answer, self._axis + 1), (self._total, self._axis)):
            left = sums.shape[axis] - count
            # Piece by piece, since where they come from and where they go overlap.
            for start in range(0, left, count):
                size = min(count, left - start)
                sums.narrow(axis, start, size).copy_(sums.narrow(axis, start + count, size))
            sums.narrow(axis, left, count).zero_()
