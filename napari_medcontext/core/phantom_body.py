"""Body wall, chest and spine of a synthetic abdomen: what bounds the cavity of the organs."""

from __future__ import annotations

import numpy as np

from napari_medcontext.core.phantom_shapes import Blob, Canvas, Floats, Mask, Shape
from napari_medcontext.core.phantom_tissues import (
    CORD,
    DISC,
    FAT,
    HARD_BONE,
    LUNG,
    MUSCLE,
    SKIN,
    SPONGY_BONE,
    Enhancement,
    varied,
)

WHOLE = (slice(None),) * 3


def paint_trunk(canvas: Canvas) -> None:
    """Paint skin, fat, the muscular wall and ribs; only the cavity stays free."""
    rng = canvas.rng
    x, y, z = canvas.points
    front = y > 0
    axial = canvas.axes[2]
    waist = 1 - 0.05 * np.exp(-(((axial + 40) / 60) ** 2))
    depths = np.where(front, np.float32(101 + rng.normal(0, 3)), np.float32(92))
    across, deep = (x / (145 * waist)) ** 2, (y / depths) ** 2
    # An ellipse of exponent 2.5 is squarer than a true one, as a supine trunk is.
    radius = across * np.sqrt(np.sqrt(across)) + deep * np.sqrt(np.sqrt(deep))
    radius = np.maximum(radius, 1e-3) ** np.float32(0.4)
    skin_depth = np.sqrt(x * x + y * y) * (1 / radius - 1)
    flank = np.abs(canvas.axes[0])[:, None, None]
    fat = 11 + 5 * rng.random() - axial / 26 + canvas.field(WHOLE, 45.0, 1.2)
    fat += 6 * np.exp(-3 * (flank / 70 - 1) ** 2) * ~front
    wall_depth = skin_depth - np.maximum(fat, 4)
    recti = 3 * np.exp(-(((flank - 32) / 18) ** 2)) - 5 * np.exp(-((flank / 7) ** 2))
    wall = 10 + recti * np.clip(y / 60, 0, 1) + canvas.field(WHOLE, 30.0, 0.8)
    canvas.repaint(WHOLE, skin_depth > 0, SKIN)
    canvas.repaint(WHOLE, skin_depth > 2.2, FAT)
    canvas.repaint(WHOLE, wall_depth > 0, MUSCLE)
    seam = np.abs(wall_depth - 0.55 * wall) < 0.7
    canvas.repaint(WHOLE, seam & (np.abs(x) > 60) & (z < 30) & (wall_depth > 0), FAT / 3)
    canvas.repaint(WHOLE, wall_depth > wall, FAT)
    canvas.free[...] = wall_depth > wall
    _paint_ribs(canvas, wall_depth - 0.5 * wall)


def _paint_ribs(canvas: Canvas, depth: Floats) -> None:
    """Paint ribs in the wall; they fall from the spine forwards and end at the costal arch."""
    near = np.abs(depth) < 4.2
    x, y, z = (grid[near] for grid in canvas.points)
    falling = z + 0.55 * y + 0.1 * np.abs(x)
    away = np.abs((falling + canvas.rng.uniform(0, 28)) % 28 - 14)
    thickness = np.sqrt((away / 6.0) ** 2 + (depth[near] / 4.2) ** 2)
    arch = z > -5 + 0.95 * np.maximum(y + 20, 0)
    rib = (thickness < 1) & arch & (np.abs(x) > 30)
    bone = np.where(thickness < 0.5, SPONGY_BONE, HARD_BONE - 150)
    canvas.intensity[near] = np.where(rib, bone, canvas.intensity[near])


def paint_chest(canvas: Canvas, enhancement: Enhancement) -> None:
    """Paint lungs above the diaphragm and the heart between them; close the cavity there."""
    height = canvas.rng.normal(0, 5)
    domes = [
        Blob((62, 2, 20 + height), (72, 92, 82)),
        Blob((-62, 0, 18 + height), (70, 90, 74)),
        Blob((0, 20, 20 + height), (60, 70, 66)),
    ]
    below = canvas.blobs(varied(canvas.rng, domes, shift=2.0, size=0.03, tilt=2.0), rough=1.5)
    inside = np.full(canvas.free.shape, 60.0, dtype=np.float32)
    inside[below.box] = below.distance
    x, y, z = canvas.points
    midline = (np.abs(x) < 34 + 0.15 * y) & (y < 0)
    above = canvas.free & (inside > 0) & (z > 20)
    canvas.repaint(WHOLE, above, LUNG)
    canvas.repaint(WHOLE, above & ((inside < 2.5) | midline), MUSCLE)
    canvas.repaint(WHOLE, above & midline & (inside > 4), FAT)
    heart = canvas.blobs(varied(canvas.rng, [Blob((-22, 34, 128), (58, 42, 34), 15)]))
    mediastinum = above[heart.box] & (inside[heart.box] > 2)
    canvas.repaint(heart.box, mediastinum & heart.inside(-4), FAT)
    canvas.repaint(heart.box, mediastinum & heart.inside(), enhancement.vein - 15)
    _paint_lung_vessels(canvas, above & (inside > 6) & ~midline)
    canvas.free &= ~above


def _paint_lung_vessels(canvas: Canvas, lung: Mask) -> None:
    top = canvas.box((-300, -300, 20), (300, 300, 300))
    texture = canvas.field(top, 7.0, 1.0)
    where = lung[top] & (texture > 2.1) & (canvas.intensity[top] == np.float32(LUNG))
    canvas.repaint(top, where, 20.0)


def paint_spine(canvas: Canvas) -> None:
    """Paint vertebrae, discs, the canal and the muscles beside them."""
    rng = canvas.rng
    for side in (1, -1):
        back = canvas.tube(
            [(side * 33, -70, -150), (side * 31, -70, 0), (side * 27, -66, 160)], [23, 21, 17]
        )
        _overpaint(canvas, back, MUSCLE, rim=2.0)
        psoas = canvas.tube(
            [(side * 48, -40, -150), (side * 38, -44, -60), (side * 26, -48, 25)], [23, 18, 6]
        )
        _overpaint(canvas, psoas, MUSCLE)
        quadratus = canvas.tube([(side * 66, -56, -120), (side * 54, -60, 10)], [13, 8])
        _overpaint(canvas, quadratus, MUSCLE)
        crus = canvas.tube([(side * 14, -26, 0), (side * 17, -14, 80)], [4, 5])
        _overpaint(canvas, crus, MUSCLE)
    _paint_vertebrae(canvas, rng.uniform(0, 36))


def _paint_vertebrae(canvas: Canvas, phase: float) -> None:
    body = canvas.tube([(0, -48, -170), (0, -46, 0), (0, -50, 170)], [21, 20, 18], rough=0.4)
    z = canvas.points[2][body.box]
    level = np.abs((z + phase) % 36 - 18)
    bone = np.where(body.inside(2.4) & (level < 12.5), SPONGY_BONE, HARD_BONE).astype(np.float32)
    _overpaint(canvas, body, np.where(level < 14, bone, np.float32(DISC)))
    arch = canvas.tube([(0, -74, -170), (0, -72, 0), (0, -74, 170)], [13, 13, 13], rough=0.3)
    x, y, z = (grid[arch.box] for grid in canvas.points)
    beside = np.abs((z + phase) % 36 - 18)
    canvas.repaint(arch.box, arch.inside() & (beside < 13), HARD_BONE - 120)
    canvas.repaint(arch.box, arch.inside(4.5), CORD)
    canvas.free[arch.box] &= ~arch.inside()
    processes = canvas.box((-50, -97, -170), (50, -60, 170))
    x, y, z = (grid[processes] for grid in canvas.points)
    beside = np.abs((z + phase + 4) % 36 - 18)
    spinous = (np.abs(x) < 3.2) & (y < -84) & (y > -96 + 0.2 * beside) & (beside < 10)
    wings = (np.abs(x) > 10) & (np.abs(x) < 42) & (np.abs(y + 66 + 0.12 * np.abs(x)) < 3.6)
    solid = canvas.intensity[processes] > FAT - 20
    canvas.repaint(processes, solid & (spinous | (wings & (beside < 4.5))), HARD_BONE - 160)


def _overpaint(canvas: Canvas, shape: Shape, intensity: float | Floats, rim: float = 0.0) -> None:
    """Paint over the wall as well as the cavity, but only within the body."""
    body = canvas.intensity[shape.box] > FAT - 1
    if rim:
        canvas.repaint(shape.box, shape.inside(-rim) & body, FAT)
    canvas.repaint(shape.box, shape.inside() & body, intensity)
    canvas.free[shape.box] &= ~shape.inside()
