"""Errors as layers: right and wrong voxels, and boxes round the largest errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari.layers import Labels, Shapes

from napari_medcontext.core.colours import ERROR_COLOURS
from napari_medcontext.core.error_map import INVENTED, MISSED, OTHER_CLASS, RIGHT, ErrorRegion
from napari_medcontext.core.volume import Array
from napari_medcontext.layer_data import CLASS_COLUMN, INDEX_COLUMN
from napari_medcontext.overlays import box_slices, show_on, take_away
from napari_medcontext.widgets.comparison import DISPLAYED_AXIS, ErrorsFound

KIND_NAMES = {
    RIGHT: "right",
    INVENTED: "invented (false positive)",
    MISSED: "missed (false negative)",
    OTHER_CLASS: "another class",
}
ERRORS, BOXES = "errors", "error boxes"
"""The kinds of layers that are made here."""
BOXED = 5
"""How many of the largest errors get a box."""
OPACITY = 0.9
"""Little of the labels below shines through: a legend's colours must be those on the scan."""
EDGE_WIDTH_MM = 0.8
ERROR_ATTRIBUTES = {
    "colormap": {None: "transparent", 0: "transparent", **ERROR_COLOURS},
    "features": {INDEX_COLUMN: list(KIND_NAMES), CLASS_COLUMN: list(KIND_NAMES.values())},
    "opacity": OPACITY,
}


def show_errors(
    viewer: Any, found: ErrorsFound, prediction: Labels, reference: Labels, contour: int
) -> None:
    """Show right and wrong voxels on a reference; with a contour of 0 they are filled."""
    layer = show_on(
        viewer, Labels, found.errors, reference, ERRORS, prediction.name, ERROR_ATTRIBUTES
    )
    layer.contour = contour


def show_boxes(viewer: Any, found: ErrorsFound, prediction: Labels, reference: Labels) -> None:
    """Show boxes round the largest errors on a reference, or none where there are no errors."""
    boxes = found.largest[:BOXED]
    if not boxes:
        take_away(viewer, BOXES)
        return
    shapes, attributes = _rectangles(boxes)
    show_on(viewer, Shapes, shapes, reference, BOXES, prediction.name, attributes)


def kinds_of(found: ErrorsFound) -> list[int]:
    """Return the kinds of voxels that may be shown: of a single class, none is another class."""
    return [kind for kind in KIND_NAMES if kind != OTHER_CLASS or found.class_id == 0]


def error_text(region: ErrorRegion) -> str:
    """Return an error's volume, kind and slices in words."""
    first, last = region.box[DISPLAYED_AXIS].start, region.box[DISPLAYED_AXIS].stop - 1
    where = f"slice {first}" if first == last else f"slices {first} to {last}"
    return f"{_volume_text(region)} {KIND_NAMES[region.kind]}, {where}"


def _volume_text(region: ErrorRegion) -> str:
    return f"{region.volume_ml:.2f} ml" if region.volume_ml < 10 else f"{region.volume_ml:.0f} ml"


def _rectangles(regions: Sequence[ErrorRegion]) -> tuple[list[Array], dict[str, Any]]:
    """Return a rectangle for each slice of each region."""
    shapes: list[Array] = []
    colours, texts = [], []
    for region in regions:
        rectangles = box_slices([(side.start - 0.5, side.stop - 0.5) for side in region.box])
        shapes += rectangles
        colours += [ERROR_COLOURS[region.kind]] * len(rectangles)
        texts += [_volume_text(region)] * len(rectangles)
    return shapes, {
        "shape_type": "rectangle",
        "edge_color": colours,
        "face_color": "transparent",
        "edge_width": EDGE_WIDTH_MM,
        "features": {"volume": texts},
        "text": {"string": "{volume}", "color": "white", "size": 9, "anchor": "upper_left"},
    }
