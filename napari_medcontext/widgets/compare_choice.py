"""Which labels are compared: a prediction, others beside it, and their reference."""

from __future__ import annotations

from typing import Any

from napari.layers import Labels
from qtpy.compat import isalive
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QVBoxLayout, QWidget

from napari_medcontext.core.errors import ScanError
from napari_medcontext.widgets.labels_box import (
    LabelsBox,
    LabelsTicks,
    fitting_reference,
    newest_prediction,
    overlies,
)


class CompareChoice(QWidget):
    """Choices among the label layers of a viewer; what fits is suggested.

    Parameters
    ----------
    viewer
        The viewer whose layers are offered.
    """

    layers_changed = Signal()
    """A layer was added, removed, moved or renamed, and the choices follow it."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self.prediction_box = LabelsBox(
            "compare_prediction", "Labels that a network (or another person) made."
        )
        self.reference_box = LabelsBox(
            "compare_reference", "Labels that are taken as the truth; on the same scan."
        )
        self.others = LabelsTicks(
            "compare_others",
            "Other predictions of the same scan, to score beside the first; the table then says by "
            "how much the first is better.",
        )
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.addRow("Prediction", self.prediction_box)
        form.addRow("Reference", self.reference_box)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addWidget(self.others)
        self.prediction_box.activated.connect(lambda _: self._suggest())
        self.reference_box.activated.connect(lambda _: self._suggest())
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered, events.renamed):
            event.connect(self._follow_layers)
        self._follow_layers()

    def choose(self, prediction: Labels, reference: Labels | None = None) -> None:
        """Select what to compare, as a user would; without a reference, one that fits."""
        self.prediction_box.choose(prediction)
        if reference is not None:
            self.reference_box.choose(reference)
        self._suggest()

    def chosen(self) -> tuple[list[Labels], Labels]:
        """Return the predictions, the main one first, and the reference.

        Raises
        ------
        ScanError
            If one is missing, or both are the same layer.
        """
        prediction, reference = self.prediction_box.layer, self.reference_box.layer
        if prediction is None or reference is None:
            which = "prediction" if prediction is None else "reference"
            raise ScanError(
                f"No {which} is chosen. Open or predict labels, then choose them as {which}."
            )
        if prediction is reference:
            raise ScanError(
                f"“{prediction.name}” is chosen as prediction and as reference. "
                "Choose two different label layers."
            )
        return [prediction, *self.others.ticked()], reference

    def _follow_layers(self) -> None:
        if not isalive(self):
            return
        layers = [layer for layer in self._viewer.layers if isinstance(layer, Labels)]
        for box in (self.prediction_box, self.reference_box):
            box.show_layers(layers)
        self.prediction_box.suggest(newest_prediction)
        self._suggest()
        self.layers_changed.emit()

    def _suggest(self) -> None:
        """Suggest a reference for the prediction, and offer what else lies on it."""
        self.reference_box.suggest(
            lambda layers: fitting_reference(self.prediction_box.layer, layers)
        )
        chosen = self.prediction_box.layer, self.reference_box.layer
        self.others.show_layers(
            [
                layer
                for layer in self.prediction_box.layers
                if layer not in chosen and chosen[1] is not None and overlies(layer, chosen[1])
            ]
        )
