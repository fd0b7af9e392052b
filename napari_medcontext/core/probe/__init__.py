"""The context probe: how much of an organ a network knows from what lies around it.

This module imports no torch, so that a window may show what was measured.
"""

from napari_medcontext.core.probe.plan import ProbeFolder, ProbeSpec
from napari_medcontext.core.probe.rows import ProbedRow, ProbeRow

__all__ = ["ProbeFolder", "ProbeRow", "ProbeSpec", "ProbedRow"]
