"""Smooth shapes painted on the fine grid of a synthetic body.

Shapes are implicit functions in millimetres, negative inside. What is painted first keeps its
place; what comes later flows round it, as soft organs do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Box = tuple[slice, slice, slice]
Vector = Sequence[float] | npt.NDArray[np.floating[Any]]

FIELD_EXTENT_MM = 180.0
"""Smooth fields are drawn for a cube of twice this size, and stay as they are beyond it."""

OUTSIDE_MM = 60.0
"""Distance that stands for “far outside”."""


@dataclass(frozen=True)
class Blob:
    """An ellipsoid that melts into its neighbours; ``tilt`` turns it about y, in degrees."""

    centre: Vector
    radii: Vector
    tilt: float = 0.0


@dataclass(frozen=True)
class Shape:
    """An implicit function in millimetres, negative inside, on a box of the canvas."""

    box: Box
    distance: Floats

    def inside(self, depth: float = 0.0) -> Mask:
        """Return the voxels that lie at least ``depth`` below the surface."""
        return self.distance < -depth


def smooth_field(
    rng: np.random.Generator, axes: Sequence[Floats], wavelength: float, amplitude: float
) -> Floats:
    """Draw a smooth random field.

    Parameters
    ----------
    rng
        Source of randomness; the number of draws does not depend on ``axes``.
    axes
        Coordinates along each axis, in millimetres.
    wavelength
        Distance between the field's knots, in millimetres.
    amplitude
        Standard deviation of the field.

    Returns
    -------
    ndarray
        Shape ``(len(x), len(y), len(z))``.
    """
    knots = np.arange(-FIELD_EXTENT_MM, FIELD_EXTENT_MM + wavelength, wavelength)
    field = np.float32(amplitude) * rng.standard_normal((len(knots),) * 3, dtype=np.float32)
    for beyond in reversed(axes):
        axis = np.clip(beyond, -FIELD_EXTENT_MM, FIELD_EXTENT_MM)
        near = (knots >= axis[0] - 3 * wavelength) & (knots <= axis[-1] + 3 * wavelength)
        weights = np.exp(-0.5 * ((axis[:, None] - knots[near]) / (0.6 * wavelength)) ** 2)
        weights /= np.linalg.norm(weights, axis=1, keepdims=True)
        field = np.tensordot(weights.astype(np.float32), field[..., near], axes=(1, 2))
    return np.ascontiguousarray(field, dtype=np.float32)


class Canvas:
    """The fine grid on which a body is painted: intensities, labels and what is still free.

    Parameters
    ----------
    axes
        Coordinates of the grid along right, anterior and superior, in the body's millimetres.
    rng
        Source of randomness.
    warp
        Standard deviation of the displacement that deforms the whole body, in millimetres.
    """

    def __init__(
        self, axes: tuple[Floats, Floats, Floats], rng: np.random.Generator, warp: float
    ) -> None:
        self.axes = axes
        self.rng = rng
        grids = np.meshgrid(*axes, indexing="ij", sparse=True)
        self.points = [grid + smooth_field(rng, axes, 75.0, warp) for grid in grids]
        shape = self.points[0].shape
        self.intensity = np.full(shape, -1000.0, dtype=np.float32)
        self.labels = np.zeros(shape, dtype=np.uint8)
        self.free = np.ones(shape, dtype=bool)

    def box(self, low: Vector, high: Vector, margin: float = 12.0) -> Box:
        """Return the part of the grid that holds a box in millimetres, and the warp's reach."""
        ends = [
            (np.searchsorted(axis, start - margin), np.searchsorted(axis, stop + margin))
            for axis, start, stop in zip(self.axes, low, high, strict=True)
        ]
        first, second, third = (slice(int(start), int(stop)) for start, stop in ends)
        return first, second, third

    def blobs(
        self,
        blobs: Sequence[Blob],
        *,
        melt: float = 5.0,
        rough: float = 1.5,
        wavelength: float = 22.0,
    ) -> Shape:
        """Melt ellipsoids into one shape.

        Parameters
        ----------
        blobs
            The ellipsoids.
        melt
            Width over which neighbours melt into each other, in millimetres.
        rough
            Standard deviation of the surface's unevenness, in millimetres.
        wavelength
            Distance between its bumps, in millimetres.
        """
        centres = np.array([blob.centre for blob in blobs])
        reach = np.array([[max(blob.radii)] * 3 for blob in blobs])
        box = self.box((centres - reach).min(axis=0), (centres + reach).max(axis=0))
        points = [grid[box] for grid in self.points]
        total = np.zeros(points[0].shape, dtype=np.float32)
        for blob in blobs:
            total += np.exp(np.clip(-_ellipsoid(points, blob) / melt, -30, 30))
        distance = np.float32(-melt) * np.log(total)
        return Shape(box, self._roughened(distance, box, rough, wavelength))

    def tube(
        self,
        path: Sequence[Vector],
        radii: Sequence[float],
        *,
        rough: float = 0.7,
        wavelength: float = 14.0,
        pieces: int = 5,
    ) -> Shape:
        """Lay a tube along a smooth path; ``pieces`` straight ones between two of its points."""
        knots = np.arange(len(path), dtype=float)
        fine = np.linspace(0, len(path) - 1, pieces * (len(path) - 1) + 1)
        line = CubicSpline(knots, np.array(path, dtype=float))(fine) if len(path) > 2 else path
        line = np.asarray(line, dtype=float)
        widths = np.interp(fine if len(path) > 2 else knots, knots, radii)
        widest = float(widths.max())
        box = self.box(line.min(axis=0) - widest, line.max(axis=0) + widest)
        distance = np.full(self.free.shape, OUTSIDE_MM, dtype=np.float32)
        for piece in zip(line[:-1], line[1:], widths[:-1], widths[1:], strict=True):
            ends = np.array(piece[:2])
            near = self.box(ends.min(axis=0) - widest, ends.max(axis=0) + widest)
            capsule = _capsule([grid[near] for grid in self.points], *piece)
            np.minimum(distance[near], capsule, out=distance[near])
        return Shape(box, self._roughened(distance[box], box, rough, wavelength))

    def paint(
        self, shape: Shape, intensity: float | Floats, *, label: int = 0, gap: float = 0.0
    ) -> Mask:
        """Fill the free part of a shape, keep ``gap`` millimetres round it empty.

        Returns
        -------
        ndarray
            The voxels of the shape's box that were painted.
        """
        free = self.free[shape.box]
        painted = shape.inside() & free
        self.repaint(shape.box, painted, intensity)
        self.labels[shape.box][painted] = label
        free &= ~shape.inside(-gap)
        return painted

    def repaint(self, box: Box, where: Mask, intensity: float | Floats) -> None:
        """Change intensities alone."""
        values = intensity if np.isscalar(intensity) else np.asarray(intensity)[where]
        self.intensity[box][where] = values

    def field(self, box: Box, wavelength: float, amplitude: float) -> Floats:
        """Draw a smooth random field on a part of the grid."""
        axes = [axis[part] for axis, part in zip(self.axes, box, strict=True)]
        return smooth_field(self.rng, axes, wavelength, amplitude)

    def _roughened(self, distance: Floats, box: Box, rough: float, wavelength: float) -> Floats:
        if not distance.size:
            return distance
        result: Floats = distance + self.field(box, wavelength, rough)
        return result


def _ellipsoid(points: Sequence[Floats], blob: Blob) -> Floats:
    x, y, z = (grid - np.float32(at) for grid, at in zip(points, blob.centre, strict=True))
    angle = np.deg2rad(blob.tilt)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    across, along = cosine * x - sine * z, sine * x + cosine * z
    a, b, c = (np.float32(radius) for radius in blob.radii)
    radius = np.sqrt((across / a) ** 2 + (y / b) ** 2 + (along / c) ** 2)
    result: Floats = (radius - 1) * np.float32(min(blob.radii))
    return result


def _capsule(
    points: Sequence[Floats], start: Vector, stop: Vector, first: float, last: float
) -> Floats:
    direction = np.asarray(stop, dtype=float) - np.asarray(start, dtype=float)
    offsets = [grid - np.float32(at) for grid, at in zip(points, start, strict=True)]
    length = max(float(direction @ direction), 1e-6)
    share = sum(o * np.float32(d / length) for o, d in zip(offsets, direction, strict=True))
    share = np.clip(share, 0, 1)
    squared = sum((o - share * np.float32(d)) ** 2 for o, d in zip(offsets, direction, strict=True))
    result: Floats = np.sqrt(squared) - (np.float32(first) + share * np.float32(last - first))
    return result
