"""What the tissues of a synthetic abdomen look like in CT, and how anatomy varies.

Intensities are in HU, those of the portal venous phase.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_medcontext.core.phantom_shapes import Blob, Vector

SPLEEN, RIGHT_KIDNEY, LEFT_KIDNEY, GALLBLADDER, LIVER, STOMACH, AORTA, PANCREAS = range(1, 9)

FAT, MUSCLE, SKIN, LUNG, GAS = -100.0, 56.0, 25.0, -840.0, -900.0
SPONGY_BONE, HARD_BONE, DISC, CORD = 190.0, 480.0, 88.0, 28.0


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


def varied(
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


def bent(rng: np.random.Generator, path: Sequence[Vector], spread: float) -> list[Vector]:
    """Move a tube's points at random, by ``spread`` millimetres."""
    return [np.asarray(point) + spread * np.clip(rng.standard_normal(3), -2, 2) for point in path]
