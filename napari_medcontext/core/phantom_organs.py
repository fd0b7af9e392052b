"""Vessels and solid organs of a synthetic abdomen."""

from __future__ import annotations

import numpy as np

from napari_medcontext.core.phantom_shapes import Blob, Canvas, Mask, Shape
from napari_medcontext.core.phantom_tissues import (
    AORTA,
    DISC,
    FAT,
    GALLBLADDER,
    LIVER,
    PANCREAS,
    SPLEEN,
    Enhancement,
    bent,
    varied,
)


def paint_vessels(canvas: Canvas, enhancement: Enhancement) -> None:
    """Paint the aorta, labelled down to its fork, and veins that look like it."""
    rng = canvas.rng
    fork = rng.normal(-92, 5)
    aorta_path = [(-10, -16, fork), (-12, -15, -40), (-9, -16, 20), (-7, -17, 80), (-14, -24, 160)]
    aorta = canvas.tube(bent(rng, aorta_path, 2.2), [9, 9.5, 10.5, 11.5, 12.5], rough=0.4)
    _paint_through(canvas, aorta, enhancement.artery, AORTA)
    cava_path = [(17, -20, -150), (19, -19, -60), (20, -16, 10), (24, -8, 70), (18, 2, 110)]
    cava = canvas.tube(bent(rng, cava_path, 2.0), [11, 10, 12, 12, 12], rough=0.8)
    _paint_through(canvas, cava, enhancement.vein - 6)
    for side in (1, -1):
        iliac = canvas.tube([(-10, -16, fork + 4), (-10 + side * 26, -18, fork - 60)], [7, 6])
        canvas.paint(iliac, enhancement.artery, gap=1.0)
        renal = canvas.tube([(4, -16, 0), (side * 42, -30, -4)], [4, 4])
        canvas.paint(renal, enhancement.vein)
    mesenteric = [(12, 12, -100), (14, 10, -30), (13, 3, 14)]
    canvas.paint(canvas.tube(bent(rng, mesenteric, 2), [4, 6, 7]), enhancement.vein, gap=0.8)
    canvas.paint(canvas.tube([(-4, 10, -90), (-5, 2, 0), (-9, -8, 16)], [3, 4, 4]), 150.0)
    portal = [(-58, -16, 40), (-16, 4, 22), (13, 4, 14), (34, 6, 38)]
    canvas.paint(canvas.tube(bent(rng, portal, 1.5), [4, 5, 7, 8]), enhancement.vein, gap=0.8)


def _paint_through(canvas: Canvas, shape: Shape, intensity: float, label: int = 0) -> None:
    """Paint a great vessel, which passes the diaphragm, wherever there is no bone."""
    soft = canvas.intensity[shape.box] < DISC - 8
    painted = shape.inside() & soft
    canvas.repaint(shape.box, painted, intensity)
    canvas.labels[shape.box][painted] = label
    canvas.free[shape.box] &= ~shape.inside(-0.5)


def paint_kidney(canvas: Canvas, enhancement: Enhancement, side: int, label: int) -> None:
    """Paint a kidney with its sinus; both kidneys of a scan enhance alike."""
    height = -16 if side > 0 else 0
    poles = [
        Blob((side * 53, -35, height + 25), (23, 21, 27)),
        Blob((side * 63, -31, height), (26, 23, 30)),
        Blob((side * 61, -26, height - 25), (23, 21, 27)),
    ]
    poles = varied(canvas.rng, poles, shift=4.5, size=0.07, tilt=4)
    kidney = canvas.blobs(poles, melt=4, rough=0.9, wavelength=18)
    x, y, z = poles[1].centre
    hilum = [
        Blob((x - side * 17, y + 7, z), (14, 9, 17)),
        Blob((x - side * 29, y + 11, z), (14, 9, 10)),
    ]
    sinus = canvas.blobs(hilum)
    pelvis = canvas.blobs([Blob((x - side * 19, y + 7, z), (8, 5, 9))], rough=0.5)
    canvas.repaint(sinus.box, sinus.inside() & canvas.free[sinus.box], FAT + 12)
    canvas.repaint(pelvis.box, pelvis.inside() & canvas.free[pelvis.box], enhancement.fluid)
    canvas.free[sinus.box] &= ~sinus.inside()
    tissue = np.where(kidney.inside(5.5), enhancement.kidney - 14, enhancement.kidney + 12)
    canvas.paint(kidney, tissue.astype(np.float32), label=label, gap=5.0)


def paint_pancreas(canvas: Canvas, enhancement: Enhancement) -> None:
    """Paint the pancreas, lobulated and darker than its neighbours."""
    path = [(31, 10, -16), (29, 14, 2), (10, 20, 12), (-18, 15, 20), (-46, 1, 32), (-70, -12, 44)]
    pancreas = canvas.tube(
        bent(canvas.rng, path, 2.5), [11, 15, 10, 11, 11, 9], rough=1.7, wavelength=9
    )
    lobules = enhancement.pancreas + canvas.field(pancreas.box, 6.0, 7.0)
    canvas.paint(pancreas, lobules, label=PANCREAS, gap=1.5)


def paint_gallbladder(canvas: Canvas) -> None:
    """Paint the gallbladder: a thin wall round bile."""
    pear = [Blob((54, 44, -4), (17, 20, 18)), Blob((46, 30, 14), (11, 14, 13))]
    pear = varied(canvas.rng, pear, shift=4, size=0.12, tilt=10)
    gallbladder = canvas.blobs(pear, rough=0.8)
    bile = canvas.rng.normal(8, 4)
    canvas.paint(gallbladder, bile, label=GALLBLADDER)
    canvas.repaint(gallbladder.box, _own(canvas, gallbladder, GALLBLADDER, upto=1.4), 55.0)


def _own(canvas: Canvas, shape: Shape, label: int, upto: float) -> Mask:
    """Return the labelled voxels of a shape that lie less than ``upto`` mm below its surface."""
    mask: Mask = (canvas.labels[shape.box] == label) & ~shape.inside(upto)
    return mask


def paint_spleen(canvas: Canvas, enhancement: Enhancement) -> None:
    """Paint the spleen and, unlabelled, a splenule beside it."""
    blobs = [
        Blob((-92, -40, 68), (28, 32, 32), 10),
        Blob((-100, -22, 48), (24, 42, 36), 8),
        Blob((-97, 0, 38), (19, 26, 26), 5),
    ]
    spleen = canvas.blobs(varied(canvas.rng, blobs, shift=5, size=0.13), melt=4, rough=2.0)
    canvas.paint(spleen, enhancement.spleen, label=SPLEEN, gap=2.0)
    splenule = Blob(canvas.rng.normal((-66, 4, 22), 5), (7, 7, 7))
    canvas.paint(canvas.blobs([splenule], rough=0.5), enhancement.spleen, gap=1.0)


def paint_liver(canvas: Canvas, enhancement: Enhancement) -> None:
    """Paint the liver with its veins; the fat of the ligaments parts its lobes."""
    rng = canvas.rng
    blobs = [
        Blob((72, -6, 58), (64, 78, 62)),
        Blob((86, 0, 8), (46, 62, 50), -8),
        Blob((24, 32, 66), (58, 44, 40), -12),
        Blob((-28, 40, 82), (46, 34, 26), -8),
    ]
    cleft = canvas.tube([(14, 66, 20), (12, 40, 46), (16, 16, 44)], [6, 4, 3], rough=1.0)
    canvas.free[cleft.box] &= ~cleft.inside()
    liver = canvas.blobs(varied(rng, blobs, shift=4, size=0.07), melt=7, rough=3, wavelength=34)
    canvas.paint(liver, enhancement.liver, label=LIVER, gap=2.0)
    trees = [
        ([(34, 8, 38), (52, 8, 42), (78, -14, 46), (98, -30, 40)], [7, 6, 4, 2]),
        ([(50, 8, 42), (74, 22, 36), (92, 32, 22)], [5, 4, 2]),
        ([(36, 10, 40), (22, 30, 58), (-8, 42, 74)], [6, 4, 2]),
        ([(22, -2, 96), (54, -10, 84), (98, -12, 62)], [6, 5, 2]),
        ([(22, 0, 96), (48, 22, 78), (74, 40, 52)], [6, 5, 2]),
        ([(20, 2, 96), (8, 24, 88), (-14, 40, 84)], [5, 4, 2]),
    ]
    for path, radii in trees:
        vein = canvas.tube(bent(rng, path, 3.5), radii, rough=0.3)
        within = (canvas.labels[vein.box] == LIVER) & vein.inside()
        canvas.repaint(vein.box, within, enhancement.liver + 42)
