"""A choice among the organs of a scan's labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image, Labels

from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.events import InspectionReady
from napari_medcontext.core.inspection import VoxelBox
from napari_medcontext.core.labels import as_label_array, class_boxes
from napari_medcontext.core.volume import Volume
from napari_medcontext.layer_geometry import finest
from napari_medcontext.layer_volumes import class_names_of
from napari_medcontext.widgets.ask_bar import NotLoaded
from napari_medcontext.widgets.drawn_box import drawn_box
from napari_medcontext.widgets.parts import ChoiceBox

BOX = "box"
FIXED = 2
"""Entries before the organs."""


class OrganChoice(ChoiceBox):
    """The organs in a labels layer, by name, after an entry for none and one for a drawn box.

    Parameters
    ----------
    name, tip
        The widget's own.
    none
        The words of the first entry, which names no organ.
    """

    def __init__(self, name: str, tip: str, none: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setToolTip(tip)
        self.addItem(none, None)
        self.addItem("a box that I drew (Shapes layer)", BOX)

    @property
    def class_id(self) -> int | None:
        """The chosen organ's class id, if an organ is chosen."""
        chosen = self.currentData()
        return None if chosen in (None, BOX) else int(chosen)

    def box(
        self, viewer: Any, scan: Image | None, loaded: InspectionReady | None
    ) -> VoxelBox | None:
        """Return the box that the user drew, if that is chosen.

        Raises
        ------
        NotLoaded
            If the run's grid is not known yet.
        ScanError
            If no box is drawn on the scan.
        """
        if self.currentData() != BOX or scan is None:
            return None
        if loaded is None:
            raise NotLoaded("The run is not loaded yet. Ask again in a moment.")
        return drawn_box(viewer.layers, scan, Volume(loaded.image, loaded.affine, loaded.name))

    def show_organs(self, labels: Labels | None) -> None:
        """Offer the organs of these labels, and keep the chosen one if it is there."""
        chosen = self.currentData()
        while self.count() > FIXED:
            self.removeItem(self.count() - 1)
        for class_id, name in _organs(labels).items():
            self.addItem(name, class_id)
        self.setCurrentIndex(0 if chosen is None else max(0, self.findData(chosen)))


def _organs(labels: Labels | None) -> dict[int, str]:
    """Return class id to name, of the organs with a name or else of those that are drawn."""
    if labels is None:
        return {}
    if names := class_names_of(labels):
        return names
    try:
        drawn = class_boxes(as_label_array(np.asarray(finest(labels)), labels.name))
    except MedContextError:
        return {}
    return {class_id: f"class {class_id}" for class_id in drawn}
