"""A choice among the organs of a scan's labels."""

from __future__ import annotations

import numpy as np
from napari.layers import Labels

from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.labels import as_label_array, class_boxes
from napari_medcontext.layer_volumes import class_names_of
from napari_medcontext.widgets.parts import ChoiceBox


class OrganChoice(ChoiceBox):
    """The organs in a labels layer, by name, after a first entry that names none of them.

    Parameters
    ----------
    name, tip
        The widget's own.
    none
        The words of the first entry.
    """

    def __init__(self, name: str, tip: str, none: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setToolTip(tip)
        self.addItem(none, None)

    @property
    def class_id(self) -> int | None:
        """The chosen organ's class id; None for the first entry."""
        chosen = self.currentData()
        return None if chosen is None else int(chosen)

    def show_organs(self, labels: Labels | None) -> None:
        """Offer the organs of these labels, and keep the chosen one if it is there."""
        chosen = self.class_id
        while self.count() > 1:
            self.removeItem(self.count() - 1)
        for class_id, name in _organs(labels).items():
            self.addItem(name, class_id)
        self.setCurrentIndex(max(0, self.findData(chosen)) if chosen is not None else 0)


def _organs(labels: Labels | None) -> dict[int, str]:
    """Return class id to name, of the organs with a name or else of those that are drawn."""
    if labels is None:
        return {}
    if names := class_names_of(labels):
        return names
    try:
        drawn = class_boxes(as_label_array(np.asarray(labels.data), labels.name))
    except MedContextError:
        return {}
    return {class_id: f"class {class_id}" for class_id in drawn}
