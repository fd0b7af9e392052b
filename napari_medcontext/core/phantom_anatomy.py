"""What lies where in a synthetic abdomen.

Positions are in millimetres along right (x), anterior (y) and superior (z) from the middle of a
body of ordinary size; z = 0 is at the level of the kidneys' hila. Proportions follow the usual
cross-sectional anatomy of a supine adult in the portal venous phase.
"""

from __future__ import annotations

from napari_medcontext.core.phantom_body import paint_chest, paint_spine, paint_trunk
from napari_medcontext.core.phantom_bowel import (
    paint_bowel_loops,
    paint_colon,
    paint_duodenum,
    paint_stomach,
)
from napari_medcontext.core.phantom_organs import (
    paint_gallbladder,
    paint_kidney,
    paint_liver,
    paint_pancreas,
    paint_spleen,
    paint_vessels,
)
from napari_medcontext.core.phantom_shapes import Canvas
from napari_medcontext.core.phantom_tissues import LEFT_KIDNEY, RIGHT_KIDNEY, Enhancement


def paint_abdomen(canvas: Canvas) -> None:
    """Paint a whole abdomen, other in each detail with each state of the canvas's randomness."""
    enhancement = Enhancement.drawn(canvas.rng)
    paint_trunk(canvas)
    paint_chest(canvas, enhancement)
    paint_spine(canvas)
    paint_vessels(canvas, enhancement)
    for side, label in ((1, RIGHT_KIDNEY), (-1, LEFT_KIDNEY)):
        paint_kidney(canvas, enhancement, side, label)
    paint_pancreas(canvas, enhancement)
    paint_duodenum(canvas, enhancement)
    paint_gallbladder(canvas)
    paint_spleen(canvas, enhancement)
    paint_liver(canvas, enhancement)
    paint_stomach(canvas, enhancement)
    paint_colon(canvas, enhancement)
    paint_bowel_loops(canvas, enhancement)
