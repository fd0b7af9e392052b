"""The depth axis of a run, along which columns are hidden."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_medcontext.core.method_settings import Axis

AXES = ("x", "y", "z")
CLEARLY_THICKER = 1.5
"""How many times thicker than both others an axis must be to become the depth axis."""


def choose_axis(axis: Axis, spacings: Sequence[tuple[float, float, float]]) -> int:
    """Return the index of the axis along which columns run.

    Parameters
    ----------
    axis
        The setting; ``"auto"`` takes the axis of clearly thickest slices, else z.
    spacings
        Spacing in millimetres of each scan as acquired, along x, y, z (right, anterior,
        superior).
    """
    if axis != "auto":
        return AXES.index(axis)
    median = np.median(np.asarray(spacings, dtype=float), axis=0)
    thickest = int(np.argmax(median))
    others = np.delete(median, thickest)
    return thickest if median[thickest] >= CLEARLY_THICKER * others.max() else AXES.index("z")
