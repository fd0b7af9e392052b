"""What lies where in a synthetic abdomen.

Positions are in millimetres along right (x), anterior (y) and superior (z) from the middle of a
body of ordinary size; z = 0 is at the level of the kidneys' hila. Proportions follow the usual
cross-sectional anatomy of a supine adult in the portal venous phase.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_erosion

from napari_medcontext.core.phantom_shapes import Blob, Canvas, Floats, Mask, Shape, Vector

SPLEEN, RIGHT_KIDNEY, LEFT_KIDNEY, GALLBLADDER, LIVER, STOMACH, AORTA, PANCREAS = range(1, 9)

FAT, MUSCLE, SKIN, LUNG, GAS = -100.0, 56.0, 25.0, -840.0, -900.0
SPONGY_BONE, HARD_BONE, DISC, CORD = 190.0, 480.0, 88.0, 28.0

_WHOLE = (slice(None),) * 3


@dataclass(frozen=True)
class Enhancement:
    """Intensities of one scan in HU, which depend on the contrast agent and its timing."""

    artery: float
    vein: float
    kidney: float
    liver: float
    spleen: float
    pancreas: float
    bowel_wall: float
    fluid: float

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Enhancement:
        """Draw intensities; the spleen stays close to the liver, whatever the timing."""
        liver = rng.normal(106, 6)
        return cls(
            artery=rng.normal(158, 8),
            vein=rng.normal(150, 8),
            kidney=rng.normal(172, 7),
            liver=liver,
            spleen=liver + rng.normal(7, 3),
            pancreas=rng.normal(88, 5),
            bowel_wall=rng.normal(84, 5),
            fluid=rng.normal(18, 6),
        )


def paint_abdomen(canvas: Canvas) -> None:
    """Paint a whole abdomen, other in each detail with each state of the canvas's randomness."""
    enhancement = Enhancement.drawn(canvas.rng)
    _paint_trunk(canvas)
    _paint_chest(canvas, enhancement)
    _paint_spine(canvas)
    _paint_vessels(canvas, enhancement)
    for side, label in ((1, RIGHT_KIDNEY), (-1, LEFT_KIDNEY)):
        _paint_kidney(canvas, enhancement, side, label)
    _paint_pancreas(canvas, enhancement)
    _paint_gallbladder(canvas)
    _paint_spleen(canvas, enhancement)
    _paint_liver(canvas, enhancement)
    _paint_stomach(canvas, enhancement)
    _paint_colon(canvas, enhancement)
    _paint_bowel_loops(canvas, enhancement)


def _varied(
    rng: np.random.Generator,
    blobs: Sequence[Blob],
    *,
    shift: float = 4.0,
    size: float = 0.06,
    tilt: float = 5.0,
) -> list[Blob]:
    """Move, scale and turn blobs together; ``shift`` in mm, ``size`` a share, ``tilt`` degrees."""
    middle = np.array([blob.centre for blob in blobs], dtype=float).mean(axis=0)
    offset = shift * np.clip(rng.standard_normal(3), -2, 2)
    scale = 1 + size * np.clip(rng.standard_normal(3), -2, 2)
    angle = tilt * float(np.clip(rng.standard_normal(), -2, 2))
    cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    turn = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    return [
        Blob(
            middle + offset + turn @ (scale * (np.asarray(blob.centre) - middle)),
            scale * np.asarray(blob.radii),
            blob.tilt + angle,
        )
        for blob in blobs
    ]


def _bent(rng: np.random.Generator, path: Sequence[Vector], spread: float) -> list[Vector]:
    """Move a tube's points at random, by ``spread`` millimetres."""
    return [np.asarray(point) + spread * np.clip(rng.standard_normal(3), -2, 2) for point in path]


def _paint_trunk(canvas: Canvas) -> None:
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
    fat = 11 + 5 * rng.random() - axial / 26 + canvas.field(_WHOLE, 45.0, 1.2)
    fat += 6 * np.exp(-3 * (flank / 70 - 1) ** 2) * ~front
    wall_depth = skin_depth - np.maximum(fat, 4)
    recti = 3 * np.exp(-(((flank - 32) / 18) ** 2)) - 5 * np.exp(-((flank / 7) ** 2))
    wall = 10 + recti * np.clip(y / 60, 0, 1) + canvas.field(_WHOLE, 30.0, 0.8)
    canvas.repaint(_WHOLE, skin_depth > 0, SKIN)
    canvas.repaint(_WHOLE, skin_depth > 2.2, FAT)
    canvas.repaint(_WHOLE, wall_depth > 0, MUSCLE)
    seam = np.abs(wall_depth - 0.55 * wall) < 0.7
    canvas.repaint(_WHOLE, seam & (np.abs(x) > 60) & (z < 30) & (wall_depth > 0), FAT / 3)
    canvas.repaint(_WHOLE, wall_depth > wall, FAT)
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


def _paint_chest(canvas: Canvas, enhancement: Enhancement) -> None:
    """Paint lungs above the diaphragm and the heart between them; close the cavity there."""
    height = canvas.rng.normal(0, 5)
    domes = [
        Blob((62, 2, 20 + height), (72, 92, 82)),
        Blob((-62, 0, 18 + height), (70, 90, 74)),
        Blob((0, 20, 20 + height), (60, 70, 66)),
    ]
    below = canvas.blobs(_varied(canvas.rng, domes, shift=2.0, size=0.03, tilt=2.0), rough=1.5)
    inside = np.full(canvas.free.shape, 60.0, dtype=np.float32)
    inside[below.box] = below.distance
    x, y, z = canvas.points
    midline = (np.abs(x) < 34 + 0.15 * y) & (y < 0)
    above = canvas.free & (inside > 0) & (z > 20)
    canvas.repaint(_WHOLE, above, LUNG)
    canvas.repaint(_WHOLE, above & ((inside < 2.5) | midline), MUSCLE)
    canvas.repaint(_WHOLE, above & midline & (inside > 4), FAT)
    heart = canvas.blobs(_varied(canvas.rng, [Blob((-22, 34, 128), (58, 42, 34), 15)]))
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


def _paint_spine(canvas: Canvas) -> None:
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


def _paint_vessels(canvas: Canvas, enhancement: Enhancement) -> None:
    """Paint the aorta, labelled down to its fork, and veins that look like it."""
    rng = canvas.rng
    fork = rng.normal(-92, 5)
    aorta_path = [(-10, -16, fork), (-12, -15, -40), (-9, -16, 20), (-7, -17, 80), (-14, -24, 160)]
    aorta = canvas.tube(_bent(rng, aorta_path, 2.2), [9, 9.5, 10.5, 11.5, 12.5], rough=0.4)
    _paint_through(canvas, aorta, enhancement.artery, AORTA)
    cava_path = [(17, -20, -150), (19, -19, -60), (20, -16, 10), (24, -8, 70), (18, 2, 110)]
    cava = canvas.tube(_bent(rng, cava_path, 2.0), [11, 10, 12, 12, 12], rough=0.8)
    _paint_through(canvas, cava, enhancement.vein - 6)
    for side in (1, -1):
        iliac = canvas.tube([(-10, -16, fork + 4), (-10 + side * 26, -18, fork - 60)], [7, 6])
        canvas.paint(iliac, enhancement.artery, gap=1.0)
        renal = canvas.tube([(4, -16, 0), (side * 42, -30, -4)], [4, 4])
        canvas.paint(renal, enhancement.vein)
    mesenteric = [(12, 12, -100), (14, 10, -30), (13, 3, 14)]
    canvas.paint(canvas.tube(_bent(rng, mesenteric, 2), [4, 6, 7]), enhancement.vein, gap=0.8)
    canvas.paint(canvas.tube([(-4, 10, -90), (-5, 2, 0), (-9, -8, 16)], [3, 4, 4]), 150.0)
    portal = [(-58, -16, 40), (-16, 4, 22), (13, 4, 14), (34, 6, 38)]
    canvas.paint(canvas.tube(_bent(rng, portal, 1.5), [4, 5, 7, 8]), enhancement.vein, gap=0.8)


def _paint_through(canvas: Canvas, shape: Shape, intensity: float, label: int = 0) -> None:
    """Paint a great vessel, which passes the diaphragm, wherever there is no bone."""
    soft = canvas.intensity[shape.box] < DISC - 8
    painted = shape.inside() & soft
    canvas.repaint(shape.box, painted, intensity)
    canvas.labels[shape.box][painted] = label
    canvas.free[shape.box] &= ~shape.inside(-0.5)


def _paint_kidney(canvas: Canvas, enhancement: Enhancement, side: int, label: int) -> None:
    """Paint a kidney with its sinus; both kidneys of a scan enhance alike."""
    height = -16 if side > 0 else 0
    poles = [
        Blob((side * 53, -35, height + 25), (23, 21, 27)),
        Blob((side * 63, -31, height), (26, 23, 30)),
        Blob((side * 61, -26, height - 25), (23, 21, 27)),
    ]
    poles = _varied(canvas.rng, poles, shift=4.5, size=0.07, tilt=4)
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


def _paint_pancreas(canvas: Canvas, enhancement: Enhancement) -> None:
    path = [(31, 10, -16), (29, 14, 2), (10, 20, 12), (-18, 15, 20), (-46, 1, 32), (-70, -12, 44)]
    pancreas = canvas.tube(
        _bent(canvas.rng, path, 2.5), [11, 15, 10, 11, 11, 9], rough=1.7, wavelength=9
    )
    lobules = enhancement.pancreas + canvas.field(pancreas.box, 6.0, 7.0)
    canvas.paint(pancreas, lobules, label=PANCREAS, gap=1.5)
    duodenum = [(16, 34, 22), (44, 26, 16), (54, 10, -10), (44, 4, -42), (8, 3, -48), (-24, 6, -34)]
    _paint_bowel(canvas, enhancement, _bent(canvas.rng, duodenum, 2.5), 11, enhancement.fluid + 20)


def _paint_gallbladder(canvas: Canvas) -> None:
    pear = [Blob((54, 44, -4), (17, 20, 18)), Blob((46, 30, 14), (11, 14, 13))]
    pear = _varied(canvas.rng, pear, shift=4, size=0.12, tilt=10)
    gallbladder = canvas.blobs(pear, rough=0.8)
    bile = canvas.rng.normal(8, 4)
    canvas.paint(gallbladder, bile, label=GALLBLADDER)
    canvas.repaint(gallbladder.box, _own(canvas, gallbladder, GALLBLADDER, upto=1.4), 55.0)


def _own(canvas: Canvas, shape: Shape, label: int, upto: float) -> Mask:
    """Return the labelled voxels of a shape that lie less than ``upto`` mm below its surface."""
    mask: Mask = (canvas.labels[shape.box] == label) & ~shape.inside(upto)
    return mask


def _paint_spleen(canvas: Canvas, enhancement: Enhancement) -> None:
    blobs = [
        Blob((-92, -40, 68), (28, 32, 32), 10),
        Blob((-100, -22, 48), (24, 42, 36), 8),
        Blob((-97, 0, 38), (19, 26, 26), 5),
    ]
    spleen = canvas.blobs(_varied(canvas.rng, blobs, shift=5, size=0.13), melt=4, rough=2.0)
    canvas.paint(spleen, enhancement.spleen, label=SPLEEN, gap=2.0)
    splenule = Blob(canvas.rng.normal((-66, 4, 22), 5), (7, 7, 7))
    canvas.paint(canvas.blobs([splenule], rough=0.5), enhancement.spleen, gap=1.0)


def _paint_liver(canvas: Canvas, enhancement: Enhancement) -> None:
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
    liver = canvas.blobs(_varied(rng, blobs, shift=4, size=0.07), melt=7, rough=3, wavelength=34)
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
        vein = canvas.tube(_bent(rng, path, 3.5), radii, rough=0.3)
        within = (canvas.labels[vein.box] == LIVER) & vein.inside()
        canvas.repaint(vein.box, within, enhancement.liver + 42)


def _paint_stomach(canvas: Canvas, enhancement: Enhancement) -> None:
    """Paint the stomach: a wall round a meal of its own intensity, with gas that rises."""
    rng = canvas.rng
    blobs = [
        Blob((-56, -10, 82), (34, 36, 28)),
        Blob((-64, 14, 58), (32, 32, 32)),
        Blob((-56, 36, 30), (28, 25, 30)),
        Blob((-30, 46, 8), (28, 21, 20)),
        Blob((0, 44, 12), (20, 16, 15)),
    ]
    stomach = canvas.blobs(_varied(rng, blobs, shift=5, size=0.1), melt=6, rough=2.5)
    painted = canvas.paint(stomach, enhancement.bowel_wall, label=STOMACH, gap=2.0)
    hollow = _hollow(painted, stomach, 3.5)
    meal = rng.uniform(15, 75) + canvas.field(stomach.box, 8.0, rng.uniform(2, 14))
    canvas.repaint(stomach.box, hollow, meal)
    level = canvas.points[1][stomach.box]
    if hollow.any():
        surface = np.quantile(level[hollow], rng.uniform(0.8, 0.97))
        canvas.repaint(stomach.box, hollow & (level > surface), GAS)


def _hollow(painted: Mask, shape: Shape, wall: float) -> Mask:
    """Return what lies within a wall in mm, and under one voxel of it where neighbours press in."""
    hollow: Mask = binary_erosion(painted) & shape.inside(wall)
    return hollow


def _paint_colon(canvas: Canvas, enhancement: Enhancement) -> None:
    rng = canvas.rng
    path = [
        (90, -6, -140), (92, -10, -100), (92, -8, -62), (78, 24, -42), (46, 50, -44), (0, 56, -54),
        (-44, 52, -44), (-82, 30, -14), (-98, -8, 2), (-102, -30, -34), (-100, -30, -84),
        (-98, -24, -140),
    ]  # fmt: skip
    radii = [24, 24, 23, 20, 18, 17, 17, 17, 16, 15, 14, 14] * rng.uniform(0.85, 1.1, 12)
    colon = canvas.tube(_bent(rng, path, 5), list(radii), rough=2.2, wavelength=17, pieces=4)
    painted = canvas.paint(colon, enhancement.bowel_wall, gap=1.5)
    hollow = _hollow(painted, colon, 2.8)
    stool = 45 + canvas.field(colon.box, 7.0, 22.0)
    canvas.repaint(colon.box, hollow, stool)
    bubbles = canvas.field(colon.box, 13.0, 1.0) + canvas.points[1][colon.box] / 50
    canvas.repaint(colon.box, hollow & (bubbles > 1.1), GAS)


def _paint_bowel_loops(canvas: Canvas, enhancement: Enhancement) -> None:
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
