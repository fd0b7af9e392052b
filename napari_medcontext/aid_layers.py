"""Layers in which a dock shows what it found, one of each kind in a viewer.

They are renewed in place, so that they never pile up, and stand apart from the user's own
layers: those are neither hidden nor selected otherwise, and no aid is offered as a scan or as
labels.
"""

from __future__ import annotations

from typing import Any, TypeVar

from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Shapes

from napari_medcontext.layer_geometry import METADATA_KEY, placement, scan_metadata
from napari_medcontext.viewer_layers import noted_of

_Aid = TypeVar("_Aid", Image, Labels, Shapes)


def find_aid(viewer: ViewerModel, kind: str) -> Layer | None:
    """Return the aid of this kind, if the user left it there."""
    return next((layer for layer in viewer.layers if _kind_of(layer) == kind), None)


def show_aid(
    viewer: ViewerModel,
    layer_type: type[_Aid],
    kind: str,
    about: Layer,
    data: Any,
    name: str,
    **attributes: Any,
) -> _Aid:
    """Show an aid over the layer that it is about, in place of an earlier one of its kind.

    Parameters
    ----------
    viewer
        Where that layer is.
    layer_type
        Class of the aid.
    kind
        What it shows, in a word.
    about
        The layer that it lies on, voxel by voxel.
    data
        Of the aid, along the axes of ``about``'s data.
    name
        Of the aid.
    attributes
        Others of the aid. Whether it is visible and how opaque stays as the user set it.
    """
    place = placement(about)
    aid = find_aid(viewer, kind)
    if aid is not None:
        attributes.pop("opacity", None)
    # A Shapes layer is made anew: its colours and texts must fit its shapes at every moment.
    if isinstance(aid, layer_type) and not isinstance(aid, Shapes):
        aid.data = data
        for key, value in {**place, **attributes, "name": name}.items():
            setattr(aid, key, value)
        return aid
    selection = set(viewer.layers.selection) - {aid}
    if aid is not None:
        attributes |= {"visible": aid.visible, "opacity": aid.opacity}
        viewer.layers.remove(aid)
    metadata = {METADATA_KEY: {**noted_of(about, list(viewer.layers)), "aid": kind}}
    aid = layer_type(data, name=name, metadata=metadata, **place, **attributes)
    viewer.add_layer(aid)
    viewer.layers.selection = selection
    return aid


def remove_aid(viewer: ViewerModel, kind: str) -> None:
    """Take an aid away, if it is there."""
    aid = find_aid(viewer, kind)
    if aid is not None:
        viewer.layers.remove(aid)


def _kind_of(layer: Layer) -> str | None:
    return (scan_metadata(layer) or {}).get("aid")
