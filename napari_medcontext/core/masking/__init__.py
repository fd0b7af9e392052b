"""What is hidden of a scan (Eq. 1): where, in pieces of which size, and what stands there.

This package imports no torch, so that a window may draw masks; the modules ``token``,
``sites`` and ``step_masks`` do.
"""

from napari_medcontext.core.masking.axis import AXES, choose_axis
from napari_medcontext.core.masking.blocks import (
    block_voxels,
    check_masking,
    mask_unit,
    whole_units,
)
from napari_medcontext.core.masking.schemes import draw_blocks, draw_mask, draw_tubes
from napari_medcontext.core.masking.structure import draw_structure

__all__ = [
    "AXES",
    "block_voxels",
    "check_masking",
    "choose_axis",
    "draw_blocks",
    "draw_mask",
    "draw_structure",
    "draw_tubes",
    "mask_unit",
    "whole_units",
]
