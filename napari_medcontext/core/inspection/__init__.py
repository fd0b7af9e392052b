"""Look inside a trained run: questions about one scan, answered by work that stays loaded.

Loading torch and a network takes seconds, an answer should take less than one. So a folder's
work loads a run and a scan once, and then answers what is asked in that folder, until it is
told to stop. This module imports no torch, so that a window may ask.
"""

from napari_medcontext.core.inspection.asks import (
    Ask,
    DisagreeAsk,
    InspectSpec,
    ProbeAsk,
    ReconstructAsk,
    VoxelBox,
)
from napari_medcontext.core.inspection.folder import InspectFolder

__all__ = [
    "Ask",
    "DisagreeAsk",
    "InspectFolder",
    "InspectSpec",
    "ProbeAsk",
    "ReconstructAsk",
    "VoxelBox",
]
