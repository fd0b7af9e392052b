"""Disagreement: where student and teacher differ, and which slice to annotate next."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from napari.layers import Image
from qtpy.compat import isalive
from qtpy.QtWidgets import QFormLayout, QVBoxLayout, QWidget

from napari_medcontext.core.errors import MedContextError
from napari_medcontext.core.events import DisagreementFound, InspectionReady
from napari_medcontext.core.inspection import DisagreeAsk
from napari_medcontext.core.method_settings import MaskingSettings
from napari_medcontext.core.volume import Volume
from napari_medcontext.overlays import show_over, slice_position
from napari_medcontext.widgets.ask_bar import AskBar
from napari_medcontext.widgets.inspect_inputs import InspectInputs
from napari_medcontext.widgets.inspector import Inspector
from napari_medcontext.widgets.parts import WholeBox, button, choices, row, shortcut, tick_box
from napari_medcontext.widgets.slice_curve import SliceCurve
from napari_medcontext.widgets.train_on import offer_training_on

WHAT = "disagreement"
MOST_DRAWS = 64
DIRECTIONS = {"x": "left to right", "y": "posterior to anterior", "z": "inferior to superior"}
AXES = (
    ("axial (along z)", "z"),
    ("coronal (along y)", "y"),
    ("sagittal (along x)", "x"),
)
HEAT = {
    "colormap": "inferno",
    "contrast_limits": (0.0, 1.0),
    "blending": "additive",
    "opacity": 0.8,
}
NEXT = "Correct the labels there; then train on."
TRAIN_ON = (
    "The Train dock starts from this run's student now, in a folder of its own, and takes the "
    "labels as they are when you press Train."
)


class DisagreementView(QWidget):
    """A heat map over the scan, a curve by slice, and a way to the worst slices.

    Parameters
    ----------
    viewer
        The napari viewer; one image layer of ours is added to it.
    inputs
        The run and the scan.
    inspector
        Who answers.
    """

    def __init__(self, viewer: Any, inputs: InspectInputs, inspector: Inspector) -> None:
        super().__init__()
        self._viewer, self._inputs, self._inspector = viewer, inputs, inspector
        self._found: DisagreementFound | None = None
        self._asked_on: Image | None = None
        self._rank = -1
        self._build()
        self.bar.answered.connect(self._show)
        self.curve.slice_asked.connect(self.go_to)
        inputs.changed.connect(self._forget)
        viewer.dims.events.point.connect(self._mark_slice)

    def next_slice(self) -> None:
        """Go to the slice of the largest disagreement, then to the next largest, and so on."""
        if self._found is None:
            return
        self._rank = (self._rank + 1) % len(self._found.worst)
        index = int(self._found.worst[self._rank])
        self.go_to(index)
        share = float(self._found.by_slice[index])
        self.bar.tell(
            f"Slice {index + 1} of {len(self._found.by_slice)}, number {self._rank + 1} by "
            f"disagreement ({share:.3f} on average). {NEXT}"
        )
        labels = self._inputs.labels
        if labels is not None and labels in self._viewer.layers:
            self._viewer.layers.selection.active = labels

    def train_on(self) -> None:
        """Set the Train dock up to go on from this run with the labels as they are."""
        inputs = self._inputs
        try:
            scan = inputs.required_scan()
            offer_training_on(self._viewer, inputs.required_run(), scan, inputs.labels)
        except MedContextError as error:
            self.bar.tell(f"⚠ {error}")
        else:
            self.bar.tell(TRAIN_ON)

    def go_to(self, index: int) -> None:
        """Show a slice of the heat map, by its number from 0, in the main window."""
        found, scan = self._found, self._asked_on
        if found is None or scan is None or scan not in self._viewer.layers:
            self.bar.tell("⚠ The scan was removed. Choose a scan and find the disagreement anew.")
            return
        try:
            axis, millimetres = self._place(found, scan, index)
        except MedContextError as error:
            self.bar.tell(f"⚠ {error}")
            return
        dims = self._viewer.dims
        if dims.ndisplay == 2 and axis in dims.displayed:
            dims.order = (axis, *(other for other in dims.order if other != axis))
        dims.set_point(axis, millimetres)

    def _place(self, found: DisagreementFound, scan: Image, index: int) -> tuple[int, float]:
        volume = Volume(found.disagreement, found.affine, found.name)
        return slice_position(
            volume, "xyz".index(found.axis), index, scan, list(self._viewer.layers)
        )

    def _mark_slice(self, event: Any = None) -> None:
        """Mark the slice that the main window shows."""
        if not isalive(self) or self._found is None or self._asked_on not in self._viewer.layers:
            return
        with suppress(MedContextError):
            axis, first = self._place(self._found, self._asked_on, 0)
            _, second = self._place(self._found, self._asked_on, 1)
            here = self._viewer.dims.point[axis]
            self.curve.show_slice(round((here - first) / (second - first)))

    def _build(self) -> None:
        self.teacher_box = tick_box(
            "disagree_teacher",
            "Student against teacher",
            "Compare the student's answer with its teacher's, where the run has one.",
        )
        self.teacher_box.setChecked(True)
        self.draws_box = WholeBox()
        self.draws_box.setObjectName("disagree_draws")
        self.draws_box.setRange(0, MOST_DRAWS)
        self.draws_box.setToolTip(
            "How many masks are drawn, to compare the student's masked answers with its answer "
            "to the whole scan; 0 draws none. Unit: draws."
        )
        self.axis_box = choices(
            "disagree_axis", "The slices that are compared and annotated.", AXES
        )
        self.bar = AskBar(
            "disagree",
            "Find disagreement",
            "Show where the answers differ as a heat map over the scan: 0 (dark), all agree; "
            "1 (bright), they differ surely.",
            "Alt+Shift+F",
            self._ask,
            self._inspector,
        )
        self.curve = SliceCurve(
            "disagree_curve", "mean disagreement", "The mean disagreement of each slice.", first=1
        )
        self.next_button = button(
            "disagree_next",
            "Next slice to annotate",
            "Go to the slice of the largest disagreement, then to the next largest. Its labels "
            "become the active layer.",
            self.next_slice,
        )
        shortcut(self.next_button, "Alt+Shift+N")
        self.train_button = button(
            "disagree_train",
            "Train on…",
            "Start from this run's student, with the labels as they are now: sets the Train dock "
            "up, where you press Train.",
            self.train_on,
        )
        shortcut(self.train_button, "Alt+Shift+T")
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.addRow("", self.teacher_box)
        form.addRow("Mask draws", self.draws_box)
        form.addRow("Slices", self.axis_box)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addWidget(self.bar)
        layout.addWidget(self.curve)
        layout.addLayout(row(self.next_button, self.train_button))
        self._forget()

    def _ask(self, loaded: InspectionReady | None) -> DisagreeAsk:
        masking = MaskingSettings()
        run = self._inputs.run
        if run is not None:
            with suppress(MedContextError):
                masking = run.spec().config.masking
        self._asked_on = self._inputs.scan
        return DisagreeAsk(
            with_teacher=self.teacher_box.isChecked(),
            draws=self.draws_box.value(),
            masking=masking,
            axis=self.axis_box.currentData(),
        )

    def _show(self, found: DisagreementFound) -> None:
        scan = self._asked_on
        if scan is None or scan not in self._viewer.layers:
            self.bar.tell("⚠ The scan was removed; its disagreement is dropped.")
            return
        volume = Volume(found.disagreement, found.affine, found.name)
        try:
            layer = show_over(
                self._viewer, Image, volume, scan, WHAT, HEAT | {"visible": scan.visible}
            )
        except MedContextError as error:
            self.bar.tell(f"⚠ {error}")
            return
        layer.colorbar.visible = True
        self._found, self._rank = found, -1
        self.curve.show_values(np.asarray(found.by_slice), f"slice, {DIRECTIONS[found.axis]}")
        self._mark_slice()
        self._offer(True)
        self.bar.tell(
            f"{_compared(found)}, {float(found.disagreement.mean()):.3f} on average "
            f"({found.seconds:.1f} s). Bright: they differ. A click in the curve goes to a slice."
        )

    def _forget(self) -> None:
        """Another run or scan: what was found is not about it."""
        self._found = None
        self._offer(False)

    def _offer(self, there: bool) -> None:
        self.curve.setVisible(there)
        self.next_button.setEnabled(there)


def _compared(found: DisagreementFound) -> str:
    parts = ["student and teacher"] * found.with_teacher
    parts += [f"the student under {found.draws} mask draws"] * bool(found.draws)
    return f"Disagreement of {' and of '.join(parts)}"
