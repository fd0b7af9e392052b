"""Which classes a comparison scores, and by which definitions; folded to the line that says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtWidgets import QFormLayout, QVBoxLayout, QWidget

from napari_medcontext.core.definitions import HAUSDORFF_WORDS, SURFACE_DICE_WORDS, Definitions
from napari_medcontext.core.scored_parts import listed_classes
from napari_medcontext.widgets.comparison import Choice
from napari_medcontext.widgets.fold import Fold
from napari_medcontext.widgets.parts import DecimalBox, choices, text_line

LARGEST_TOLERANCE_MM = 100.0


class ScoringChoice(QWidget):
    """Definitions of HD95 and NSD, the NSD's tolerance, and the classes to score."""

    def __init__(self) -> None:
        super().__init__()
        self.hd95 = choices(
            "compare_hd95",
            _defined("HD95", HAUSDORFF_WORDS),
            [(kind, kind) for kind in HAUSDORFF_WORDS],
        )
        self.nsd = choices(
            "compare_nsd",
            _defined("NSD", SURFACE_DICE_WORDS),
            [(kind, kind) for kind in SURFACE_DICE_WORDS],
        )
        self.tolerance = DecimalBox()
        self.tolerance.setObjectName("compare_tolerance")
        self.tolerance.setRange(0.0, LARGEST_TOLERANCE_MM)
        self.tolerance.setDecimals(1)
        self.tolerance.setSingleStep(0.5)
        self.tolerance.setSuffix(" mm")
        self.tolerance.setValue(Definitions().tolerance_mm)
        self.tolerance.setToolTip(
            "How far apart, in mm, surfaces may lie and still agree in the NSD."
        )
        self.classes = text_line(
            "compare_classes",
            "Score these classes alone, for example 8 organs of 13: ids or names, separated by "
            "commas. Empty: all.",
            "all",
        )
        self._lay_out()
        for changed in (
            self.hd95.currentTextChanged,
            self.nsd.currentTextChanged,
            self.tolerance.valueChanged,
            self.classes.textChanged,
        ):
            changed.connect(lambda _: self._summarise())
        self._summarise()

    def choice(self) -> Choice:
        """Return what is chosen."""
        definitions = Definitions(
            self.hd95.currentData(), self.nsd.currentData(), self.tolerance.value()
        )
        return Choice(definitions, listed_classes(self.classes.text()) or None)

    def _lay_out(self) -> None:
        content = QWidget()
        form = QFormLayout(content)
        form.setContentsMargins(12, 0, 0, 0)
        form.addRow("HD95", self.hd95)
        form.addRow("NSD", self.nsd)
        form.addRow("NSD within", self.tolerance)
        form.addRow("Classes", self.classes)
        self.fold = Fold("compare_scoring")
        self.fold.addWidget(content)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.fold)

    def _summarise(self) -> None:
        classes = self.classes.text().strip() or "all classes"
        self.fold.setText(
            f"Scoring: HD95 {self.hd95.currentText()}, NSD by {self.nsd.currentText()} within "
            f"{self.tolerance.value():g} mm, {classes}"
        )


def _defined(metric: str, words: Mapping[Any, str]) -> str:
    return f"{metric} is\n" + "\n".join(f"{kind}: {text}" for kind, text in words.items())
