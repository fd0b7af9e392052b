"""What this plugin notes of a layer, in the layer's ``metadata["medcontext"]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NotRequired, TypedDict, cast

from napari.layers import Layer

from napari_medcontext.core.volume import Affine

METADATA_KEY = "medcontext"


class ScanMetadata(TypedDict):
    """What a layer's ``metadata["medcontext"]`` holds."""

    affine: Affine
    """Takes layer data indices (z, y, x) to RAS+ millimetres, truly."""
    shown: Affine
    """Takes layer data indices to the display world, as the layer was first placed."""
    source_orientation: str
    """Axis codes of the file, e.g. ``"LPS"``."""
    source_affine: Affine
    source_shape: tuple[int, ...]
    path: str | None
    class_names: dict[int, str]
    unread: NotRequired[str]
    """For a layer that reads its file, of one channel, when it is looked at: its array's name."""
    prediction_of: NotRequired[str]
    """For a prediction: the name of its image layer."""
    prediction_name: NotRequired[str]
    """For a prediction: the name that it was first given."""
    prediction_run: NotRequired[str | None]
    """For a prediction: the folder of the run that it was made with."""
    regions: NotRequired[dict[str, tuple[int, ...]]]
    """For a prediction of regions, by their numbers: name to class ids, outermost first."""
    unknown_id: NotRequired[int | None]
    """For a prediction: the class id that means “unknown” in its run's labels."""
    fingerprint: NotRequired[int]
    """For a prediction: a checksum of its voxels as they were predicted."""
    preview_of: NotRequired[str]
    """For a layer that was kept from the preview: the name of the scan."""
    aid: NotRequired[str]
    """For a layer in which a dock shows what it found: of what kind it is."""


def scan_metadata(layer: Layer) -> ScanMetadata | None:
    """Return what this plugin noted about a layer, or None if it was made elsewhere."""
    noted = layer.metadata.get(METADATA_KEY)
    if isinstance(noted, Mapping) and {"affine", "shown"} <= noted.keys():
        return cast(ScanMetadata, noted)
    return None


def is_made(layer: Layer) -> bool:
    """Say whether this plugin made a layer: a prediction, part of a preview, or an aid."""
    noted = scan_metadata(layer)
    return noted is not None and not {"prediction_of", "preview_of", "aid"}.isdisjoint(noted)


def is_aid(layer: Layer) -> bool:
    """Say whether a layer only shows what a dock found, such as errors or a mask."""
    return "aid" in (scan_metadata(layer) or {})
