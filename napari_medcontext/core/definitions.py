"""Which definition of a metric is meant, where the field has several. This module is light."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Hausdorff = Literal["directed", "pooled", "area"]
SurfaceDice = Literal["voxels", "area"]

HAUSDORFF_WORDS: Mapping[Hausdorff, str] = {
    "directed": "the larger of both directions' 95th percentiles (as in MONAI)",
    "pooled": "the 95th percentile of both directions' distances together (as in medpy)",
    "area": "the larger of both directions' 95th percentiles, surfaces weighed by their area "
    "(as in surface-distance)",
}
SURFACE_DICE_WORDS: Mapping[SurfaceDice, str] = {
    "voxels": "share of surface voxels (as in MONAI)",
    "area": "share of the surfaces' area (as in surface-distance)",
}
TOLERANCE_MM = 2.0


@dataclass(frozen=True)
class Definitions:
    """Which definition of a metric is meant, where the field has several.

    Parameters
    ----------
    hd95
        ``"directed"`` as in MedContext's Eq. 8, ``"pooled"`` or ``"area"``.
    nsd
        What the share of surfaces that agree is counted in, ``"voxels"`` or ``"area"``.
    tolerance_mm
        How far apart surfaces may lie and still agree, for the NSD, in millimetres.
    """

    hd95: Hausdorff = "directed"
    nsd: SurfaceDice = "voxels"
    tolerance_mm: float = TOLERANCE_MM

    @property
    def text(self) -> str:
        """The definitions in a sentence each, for whoever reads the figures."""
        return (
            f"HD95: {HAUSDORFF_WORDS[self.hd95]}. NSD: {SURFACE_DICE_WORDS[self.nsd]} within "
            f"{self.tolerance_mm:g} mm of the other surface. ASSD: mean over the surface voxels "
            "of both."
        )
