"""Tidy a prediction, so that its scores before and after stand side by side."""

from __future__ import annotations

from typing import Any

from napari.layers import Labels
from napari.utils.notifications import show_info
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_medcontext.core.cleaning import Cleaned, Cleaning, cleaned
from napari_medcontext.core.errors import MedContextError, ScanError
from napari_medcontext.layer_volumes import layer_to_volume
from napari_medcontext.prediction_layers import add_variant
from napari_medcontext.widgets.compare_choice import CompareChoice
from napari_medcontext.widgets.comparison import Meaning
from napari_medcontext.widgets.fold import Fold
from napari_medcontext.widgets.latest import Latest
from napari_medcontext.widgets.parts import DecimalBox, button, row, tick_box

LARGEST_ML = 1000.0
VARIANT = "cleaned"


class CleaningBox(Fold):
    """What to tidy, all of it off at first, folded to the line that says so.

    Parameters
    ----------
    viewer
        Where the tidied copy becomes a layer.
    choice
        Which prediction is tidied.
    """

    done = Signal(object)
    """The labels layer with the tidied copy."""
    failed = Signal(str)
    """Why there is none."""

    def __init__(self, viewer: Any, choice: CompareChoice) -> None:
        super().__init__("compare_cleaning")
        self._viewer, self._choice = viewer, choice
        self._worker = Latest(self, rest=0)
        self._worker.done.connect(self._show)
        self._worker.failed.connect(self._fail)
        fields = Cleaning.model_fields
        self.least = DecimalBox()
        self.least.setObjectName("cleaning_least_ml")
        self.least.setRange(0.0, LARGEST_ML)
        self.least.setDecimals(2)
        self.least.setSuffix(" ml")
        self.least.setToolTip(f"{fields['least_ml'].description} 0 keeps all. Unit: ml.")
        self.largest = tick_box(
            "cleaning_largest", "Largest pieces", str(fields["largest"].description)
        )
        self.holes = tick_box("cleaning_holes", "Fill holes", str(fields["fill_holes"].description))
        self.clean_button = button(
            "cleaning_start",
            "Clean up and compare",
            "Make a tidied copy of the prediction, and score both.",
            self.clean_up,
        )
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(12, 0, 0, 0)
        layout.addLayout(row(self.largest, self.holes, QLabel("pieces from"), self.least, None))
        layout.addLayout(row(self.clean_button, None))
        self.addWidget(content)
        for changed in (self.largest.toggled, self.holes.toggled, self.least.valueChanged):
            changed.connect(lambda _: self._summarise())
        self._summarise()

    def cleaning(self) -> Cleaning:
        """Return what is chosen."""
        return Cleaning(
            least_ml=self.least.value(),
            largest=self.largest.isChecked(),
            fill_holes=self.holes.isChecked(),
        )

    def clean_up(self) -> None:
        """Tidy a copy of the chosen prediction; ``done`` or ``failed`` tells of it."""
        cleaning = self.cleaning()
        try:
            (prediction, *_), reference = self._choice.chosen()
            if Meaning.of(prediction, reference).regions:
                raise ScanError(
                    f"“{prediction.name}” holds nested regions, of which a piece may lie inside "
                    "another. Only classes that exclude each other can be cleaned up."
                )
            volume = layer_to_volume(prediction, list(self._viewer.layers))
        except MedContextError as error:
            self.failed.emit(str(error))
            return
        self.clean_button.setEnabled(False)
        self._worker.ask(lambda: (prediction, cleaned(volume, cleaning)))

    def _show(self, answer: tuple[Labels, Cleaned]) -> None:
        prediction, result = answer
        self._summarise()
        if prediction not in self._viewer.layers:
            self.failed.emit("The prediction was removed; its tidied copy is dropped.")
            return
        show_info(result.text)
        self.done.emit(add_variant(self._viewer, prediction, result.labels.array, VARIANT))

    def _fail(self, message: str) -> None:
        self._summarise()
        self.failed.emit(message)

    def _summarise(self) -> None:
        cleaning = self.cleaning()
        self.clean_button.setEnabled(cleaning.is_any)
        self.setText(f"Clean up: {cleaning.text or 'nothing'}")
