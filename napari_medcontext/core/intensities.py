"""Bring intensities to a common scale, of a whole scan at once or of one seen block by block.

Both ways give the same scale: moments are merged in double precision, and percentiles are the
exact ones, found by counting.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medcontext.core.training_settings import DataSettings

FloatArray = npt.NDArray[np.float32]
Blocks = Callable[[], Iterator[FloatArray]]
"""Goes through a scan once, each voxel in one block."""

SHARED_BACKGROUND = 0.1
"""Share of exactly-zero voxels from which zero counts as outside the patient."""
PERCENTILES = (0.5, 99.5)
"""Between these of the patient's intensities ``percentile`` clips."""
_LEAST_DEVIATION = 1e-8
_HALF = 16
"""Bits of a float32 that are counted in one pass."""


@dataclass(frozen=True)
class Scaling:
    """What intensities are clipped to, if to anything, and brought to zero mean and deviation 1."""

    mean: float
    deviation: float
    limits: tuple[float, float] | None = None

    def apply(self, values: FloatArray) -> FloatArray:
        """Return values on the common scale."""
        scaled = (_clipped(values, self.limits) - np.float64(self.mean)) / self.deviation
        return np.asarray(scaled, dtype=np.float32)


@dataclass(frozen=True)
class Moments:
    """Number, mean and sum of squared deviations of values; sums of them are those of all."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, values: npt.NDArray[Any]) -> Moments:
        """Return those of an array."""
        if values.size == 0:
            return cls()
        deviation = float(values.std(dtype=np.float64))
        return cls(values.size, float(values.mean(dtype=np.float64)), values.size * deviation**2)

    def __add__(self, other: Moments) -> Moments:
        count = self.count + other.count
        if count == 0:
            return self
        apart = other.mean - self.mean
        return Moments(
            count,
            self.mean + apart * other.count / count,
            self.squares + other.squares + apart**2 * self.count * other.count / count,
        )

    def scaling(self, limits: tuple[float, float] | None = None) -> Scaling:
        """Return the scale on which the values have zero mean and deviation 1."""
        deviation = float(np.sqrt(self.squares / max(1, self.count)))
        return Scaling(self.mean, max(deviation, _LEAST_DEVIATION), limits)


def normalise(array: npt.NDArray[Any], settings: DataSettings) -> FloatArray:
    """Bring intensities to a common scale.

    ``zscore``: zero mean and unit deviation over the patient (where a tenth of the voxels
    or more is exactly zero, those are taken for the outside and left out). ``percentile``:
    the same after clipping to the 0.5th and 99.5th percentile. ``window``: the settings'
    window becomes 0 to 1, all else is clipped.
    """
    values = array.astype(np.float32)
    if settings.intensity == "window":
        return windowed(values, settings.window)
    inside = values[values != 0]
    if _zero_counts(values.size, inside.size):
        inside = values.ravel()
    limits = None
    if settings.intensity == "percentile":
        low, high = np.percentile(inside, PERCENTILES)
        limits = (float(low), float(high))
        inside = _clipped(inside, limits)
    mean, deviation = inside.mean(dtype=np.float64), inside.std(dtype=np.float64)
    return Scaling(float(mean), max(float(deviation), _LEAST_DEVIATION), limits).apply(values)


def windowed(values: FloatArray, window: tuple[float, float]) -> FloatArray:
    """Return values of which a window became 0 to 1, all else clipped."""
    low, high = window
    scaled: FloatArray = np.clip((values - low) / (high - low), 0.0, 1.0)
    return scaled


def gathered_scaling(
    blocks: Blocks, settings: DataSettings
) -> Generator[float, None, Scaling | None]:
    """Return the scale of ``normalise`` for a scan that is seen block by block.

    Parameters
    ----------
    blocks
        Called once for ``zscore``, and three times for ``percentile``: of float32 values the
        upper halves of their bits are counted, then the lower halves next to the percentiles,
        and then what is clipped is summed up.
    settings
        How to normalise.

    Yields
    ------
    float
        0 after each block, so that whoever drives it may stop.

    Returns
    -------
    Scaling or None
        None for ``window``, which needs to know nothing of the scan.
    """
    if settings.intensity == "window":
        return None
    limits = None
    if settings.intensity == "percentile":
        limits = yield from _exact_limits(blocks)
    moments = yield from _moments(blocks, limits)
    return moments.scaling(limits)


def _moments(blocks: Blocks, limits: tuple[float, float] | None) -> Generator[float, None, Moments]:
    """Return the moments of the patient's intensities, clipped."""
    inside, zeros = Moments(), 0
    for block in blocks():
        own = block[block != 0]
        inside += Moments.of(_clipped(own, limits))
        zeros += block.size - own.size
        yield 0.0
    if not _zero_counts(inside.count + zeros, inside.count):
        return inside
    outside = _clipped(np.zeros(1, np.float32), limits)
    return inside + Moments(zeros, float(outside[0]))


def _exact_limits(blocks: Blocks) -> Generator[float, None, tuple[float, float]]:
    """Return the percentiles as ``numpy.percentile`` does, between the values next to them."""
    upper, zeros = np.zeros(1 << _HALF, np.int64), 0
    for block in blocks():
        upper += np.bincount(_ordered(block) >> _HALF, minlength=1 << _HALF)
        zeros += block.size - int(np.count_nonzero(block))
        yield 0.0
    total = int(upper.sum())
    if zero_counts := _zero_counts(total, total - zeros):
        zeros = 0
    zero = int(_ordered(np.zeros(1, np.float32))[0])
    upper[zero >> _HALF] -= zeros
    places = (int(upper.sum()) - 1) * (np.array(PERCENTILES) / 100)
    ranks = sorted({int(rank) for place in places for rank in (place, np.ceil(place))})
    starts = np.concatenate([[0], np.cumsum(upper)])
    homes = {rank: int(np.searchsorted(starts, rank, "right")) - 1 for rank in ranks}
    lower = {home: np.zeros(1 << _HALF, np.int64) for home in homes.values()}
    for block in blocks():
        keys = _ordered(block if zero_counts else block[block != 0])
        for home, counts in lower.items():
            own = keys[keys >> _HALF == home] & ((1 << _HALF) - 1)
            counts += np.bincount(own, minlength=1 << _HALF)
        yield 0.0
    values = {}
    for rank, home in homes.items():
        within = int(np.searchsorted(np.cumsum(lower[home]), rank - starts[home], "right"))
        values[rank] = _value((home << _HALF) + within)
    low, high = (
        np.quantile(
            np.array([values[int(place)], values[int(np.ceil(place))]], np.float32),
            np.array([place - int(place)]),
        )[0]
        for place in places
    )
    return float(low), float(high)


def _ordered(values: FloatArray) -> npt.NDArray[np.int64]:
    """Return whole numbers from 0 up that are in the same order as float32 values."""
    # Adding 0 makes the negative zero, which is equal to it, the positive one.
    bits = (values.ravel() + np.float32(0)).view(np.uint32)
    negative = (bits >> 31).astype(bool)
    return np.where(negative, ~bits, bits | np.uint32(1 << 31)).astype(np.int64)


def _value(key: int) -> np.float32:
    """Return the float32 value that a whole number of ``_ordered`` stands for."""
    bits = key & 0x7FFFFFFF if key >> 31 else ~key & 0xFFFFFFFF
    return np.float32(np.array([bits], np.uint32).view(np.float32)[0])


def _zero_counts(total: int, inside: int) -> bool:
    """Say whether zero is an intensity like others, and not the outside of the patient."""
    return inside == 0 or inside > (1 - SHARED_BACKGROUND) * total


def _clipped(values: npt.NDArray[Any], limits: tuple[float, float] | None) -> npt.NDArray[Any]:
    if limits is None:
        return values
    return np.asarray(np.clip(values, np.float64(limits[0]), np.float64(limits[1])))
