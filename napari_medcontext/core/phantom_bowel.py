"""Stomach and bowel of a synthetic abdomen: walls round contents of their own intensity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import binary_erosion

from napari_medcontext.core.phantom_shapes import Blob, Canvas, Mask, Shape, Vector
from napari_medcontext.core.phantom_tissues import GAS, STOMACH, Enhancement, bent, varied


def paint_stomach(canvas: Canvas, enhancement: Enhancement) -> None:
    """Paint the stomach: a wall round a meal of its own intensity, with gas that rises."""
    rng = canvas.rng
    blobs = [
        Blob((-56, -10, 82), (34, 36, 28)),
        Blob((-64, 14, 58), (32, 32, 32)),
        Blob((-56, 36, 30), (28, 25, 30)),
        Blob((-30, 46, 8), (28, 21, 20)),
        Blob((0, 44, 12), (20, 16, 15)),
    ]
    stomach = canvas.blobs(varied(rng, blobs, shift=5, size=0.1), melt=6, rough=2.5)
    painted = canvas.paint(stomach, enhancement.bowel_wall, label=STOMACH, gap=2.0)
    hollow = _hollow(painted, stomach, 3.5)
    meal = rng.uniform(15, 75) + canvas.field(stomach.box, 8.0, rng.uniform(2, 14))
    canvas.repaint(stomach.box, hollow, meal)
    level = canvas.points[1][stomach.box]
    if hollow.any():
        surface = np.quantile(level[hollow], rng.uniform(0.8, 0.97))
        canvas.repaint(stomach.box, hollow & (level > surface), GAS)


def paint_duodenum(canvas: Canvas, enhancement: Enhancement) -> None:
    """Paint the duodenum, unlabelled, round the head of the pancreas."""
    path = [(16, 34, 22), (44, 26, 16), (54, 10, -10), (44, 4, -42), (8, 3, -48), (-24, 6, -34)]
    _paint_bowel(canvas, enhancement, bent(canvas.rng, path, 2.5), 11, enhancement.fluid + 20)


def paint_colon(canvas: Canvas, enhancement: Enhancement) -> None:
    """Paint the colon, which holds stool and bubbles that rise."""
    rng = canvas.rng
    path = [
        (90, -6, -140), (92, -10, -100), (92, -8, -62), (78, 24, -42), (46, 50, -44), (0, 56, -54),
        (-44, 52, -44), (-82, 30, -14), (-98, -8, 2), (-102, -30, -34), (-100, -30, -84),
        (-98, -24, -140),
    ]  # fmt: skip
    radii = [24, 24, 23, 20, 18, 17, 17, 17, 16, 15, 14, 14] * rng.uniform(0.85, 1.1, 12)
    colon = canvas.tube(bent(rng, path, 5), list(radii), rough=2.2, wavelength=17, pieces=4)
    painted = canvas.paint(colon, enhancement.bowel_wall, gap=1.5)
    hollow = _hollow(painted, colon, 2.8)
    stool = 45 + canvas.field(colon.box, 7.0, 22.0)
    canvas.repaint(colon.box, hollow, stool)
    bubbles = canvas.field(colon.box, 13.0, 1.0) + canvas.points[1][colon.box] / 50
    canvas.repaint(colon.box, hollow & (bubbles > 1.1), GAS)


def paint_bowel_loops(canvas: Canvas, enhancement: Enhancement) -> None:
    """Fill the rest of the cavity with loops; some enhance as an organ does, none is labelled."""
    rng = canvas.rng
    likenesses = [enhancement.kidney, enhancement.spleen, enhancement.fluid, 55.0]
    for number in range(44):
        start = rng.uniform((-82, -14, -135), (78, 62, -20))
        steps = rng.normal(0, (24, 13, 17), size=(3, 3))
        path = [start, *(start + np.cumsum(steps, axis=0))]
        content = likenesses[number % 4] + rng.normal(0, 4)
        _paint_bowel(canvas, enhancement, path, rng.uniform(10, 15), content)


def _paint_bowel(
    canvas: Canvas, enhancement: Enhancement, path: Sequence[Vector], radius: float, content: float
) -> None:
    loop = canvas.tube(path, [radius] * len(path), rough=1.6, wavelength=11)
    painted = canvas.paint(loop, enhancement.bowel_wall, gap=1.6)
    canvas.repaint(loop.box, _hollow(painted, loop, 2.6), content)


def _hollow(painted: Mask, shape: Shape, wall: float) -> Mask:
    """Return what lies within a wall in mm, and under one voxel of it where neighbours press in."""
    hollow: Mask = binary_erosion(painted) & shape.inside(wall)
    return hollow
