"""Where a prediction is wrong: its errors as a layer, as boxes, slice by slice and one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import ref

import numpy as np
from napari.layers import Labels
from qtpy.compat import isalive
from qtpy.QtCore import Signal
from qtpy.QtGui import QColor, QHideEvent, QShowEvent
from qtpy.QtWidgets import QListWidget, QVBoxLayout, QWidget

from napari_medcontext.core.colours import ERROR_COLOURS
from napari_medcontext.core.error_map import RIGHT, ErrorRegion
from napari_medcontext.overlays import shown_over, take_away
from napari_medcontext.widgets.class_alone import ClassAlone
from napari_medcontext.widgets.comparison import (
    DISPLAYED_AXIS,
    ErrorsFound,
    Meaning,
)
from napari_medcontext.widgets.error_finder import ErrorFinder, Looked
from napari_medcontext.widgets.error_layers import (
    BOXED,
    BOXES,
    ERRORS,
    KIND_NAMES,
    error_text,
    kinds_of,
    show_boxes,
    show_errors,
)
from napari_medcontext.widgets.parts import Text, button, choices, row, shortcut, tick_box
from napari_medcontext.widgets.slice_curve import SliceCurve
from napari_medcontext.widgets.slice_jump import look_at_voxel, shown_slice

CONTOUR_WIDTH = 1
HINT = "Press a row of the table to see where its errors are."


class ErrorView(QWidget):
    """Show the errors of one prediction, of one class or of all.

    Parameters
    ----------
    viewer
        The viewer with the layers.
    """

    shown = Signal()
    """What was asked for last is shown."""

    failed = Signal(str)
    """Why it cannot be shown."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._looked: Looked | None = None
        self._alone = ClassAlone()
        self._found: ErrorsFound | None = None
        self._finder = ErrorFinder(viewer, self)
        self._finder.found.connect(self._receive)
        self._finder.failed.connect(self.failed)
        self._build()
        viewer.dims.events.point.connect(self._mark_slice)

    def look_at(
        self, prediction: Labels, reference: Labels, class_id: int = 0, class_name: str = ""
    ) -> None:
        """Show a class of these two, or all classes; ``shown`` tells when it is done."""
        self._looked = Looked(ref(prediction), ref(reference), class_id, class_name)
        self._finder.find(self._looked)

    def forget(self) -> None:
        """Take all away: what was looked at is no longer what is compared."""
        self._looked = self._found = None
        self._finder.forget()
        self._show_alone()
        self._renew()

    def _build(self) -> None:
        self.title = Text("errors_title", HINT)
        self.errors_box = tick_box(
            "errors_show", "Show errors", "Show right, missed and invented voxels as a layer."
        )
        self.errors_box.setChecked(True)
        self.style = choices(
            "errors_style",
            "Fill what is right and wrong, or draw its outline alone.",
            [("filled", 0), ("outline", CONTOUR_WIDTH)],
        )
        self.boxes_box = tick_box(
            "errors_boxes", "Boxes", f"Draw a box with its volume round the {BOXED} largest errors."
        )
        self.alone_box = tick_box(
            "errors_alone",
            "Class alone",
            "Show the chosen class alone in both label layers, too; off, they are as they were, "
            "and other classes may have the colours of errors.",
        )
        self.alone_box.setChecked(True)
        self.alone_box.toggled.connect(lambda _: self._show_alone())
        self.worst_button = button(
            "errors_worst", "Worst slice", "Go to the slice with most errors.", self.go_worst
        )
        shortcut(self.worst_button, "Alt+W")
        self.next_button = button(
            "errors_next", "Next error", "Go to the next largest error.", self.go_next
        )
        shortcut(self.next_button, "Alt+N")
        self.legend = Text("errors_legend")
        self.largest = QListWidget()
        self.largest.setObjectName("errors_largest")
        self.largest.setToolTip("The largest errors. Press one to go there.")
        self.largest.setMaximumHeight(110)
        self.curve = SliceCurve(
            "errors_curve", "DSC", "The Dice of each slice along the slider's axis."
        )
        self.curve.setYRange(0, 1)
        self.errors_box.toggled.connect(lambda _: self._renew())
        self.boxes_box.toggled.connect(lambda _: self._renew())
        self.style.currentIndexChanged.connect(lambda _: self._restyle())
        self.largest.currentRowChanged.connect(self._go_to_error)
        self.curve.slice_asked.connect(self._go_to_slice)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.title)
        layout.addLayout(row(self.errors_box, self.style, self.boxes_box, self.alone_box, None))
        layout.addWidget(self.legend)
        layout.addWidget(self.curve)
        layout.addLayout(row(self.worst_button, self.next_button, None))
        layout.addWidget(self.largest)
        self._renew()

    def hideEvent(self, event: QHideEvent | None) -> None:  # Qt's own name
        """Leave label layers as they were while nobody looks at errors."""
        super().hideEvent(event)
        self._alone.end()

    def showEvent(self, event: QShowEvent | None) -> None:  # Qt's own name
        """Show the class alone again."""
        super().showEvent(event)
        self._show_alone()

    def go_worst(self) -> None:
        """Go to the slice with most errors."""
        if self._found is not None:
            self._go_to_slice(self._found.worst)

    def go_next(self) -> None:
        """Go to the largest error, then to the next largest."""
        if self.largest.count():
            self.largest.setCurrentRow((self.largest.currentRow() + 1) % self.largest.count())

    def explained(self) -> tuple[list[tuple[str, QColor]], str]:
        """Return the legend of the errors that are seen, and what and which slice they are of."""
        layer, pair = shown_over(self._viewer, ERRORS), self._pair()
        if self._found is None or self._looked is None or pair is None or layer is None:
            return [], ""
        index = shown_slice(self._viewer, pair[1], DISPLAYED_AXIS)
        what = self._looked.class_name or "all classes"
        caption = f"{what}, slice {index} of {len(self._found.by_slice)}. "
        if not layer.visible:
            return [], caption
        kinds = kinds_of(self._found)
        return [(KIND_NAMES[kind], QColor(ERROR_COLOURS[kind])) for kind in kinds], caption

    def _pair(self) -> tuple[Labels, Labels] | None:
        return None if self._looked is None else self._looked.layers()

    def _receive(self, found: ErrorsFound) -> None:
        self._found = found
        self._show_alone()
        self._renew()
        self.go_worst()
        self.shown.emit()

    def _renew(self) -> None:
        found, pair = self._found, self._pair()
        there = found is not None and pair is not None
        for control in (self.worst_button, self.next_button, self.style):
            control.setEnabled(there)
        # Before anything is found they are empty frames.
        for picture in (self.curve, self.largest):
            picture.setVisible(there)
        self._fill_list(found.largest if found is not None and there else ())
        self.curve.show_values(found.by_slice if found is not None and there else ())
        self.legend.setText(_legend_text(found) if found is not None and there else "")
        if found is None or pair is None or self._looked is None:
            self.title.setText(HINT)
            take_away(self._viewer, ERRORS)
            take_away(self._viewer, BOXES)
            return
        what = self._looked.class_name or "all classes"
        self.title.setText(f"Errors of “{pair[0].name}”: {what}")
        self._show_layers(found, *pair)

    def _show_layers(self, found: ErrorsFound, prediction: Labels, reference: Labels) -> None:
        if reference not in self._viewer.layers:
            return
        if self.errors_box.isChecked():
            contour = self.style.currentData()
            show_errors(self._viewer, found, prediction, reference, contour)
        else:
            take_away(self._viewer, ERRORS)
        if self.boxes_box.isChecked():
            show_boxes(self._viewer, found, prediction, reference)
        else:
            take_away(self._viewer, BOXES)

    def _show_alone(self) -> None:
        pair, looked = self._pair(), self._looked
        if not self.alone_box.isChecked() or pair is None or looked is None or not looked.class_id:
            self._alone.end()
            return
        ids = Meaning.of(*pair).ids(looked.class_id)
        # napari shows one id alone; a region of several is left as it is.
        self._alone.show(
            {layer: of[0] for layer, of in zip(pair, ids, strict=True) if len(of) == 1}
        )

    def _restyle(self) -> None:
        layer = shown_over(self._viewer, ERRORS)
        if isinstance(layer, Labels):
            layer.contour = self.style.currentData()

    def _fill_list(self, largest: Sequence[ErrorRegion]) -> None:
        self.largest.blockSignals(True)
        self.largest.clear()
        self.largest.addItems([error_text(region) for region in largest])
        self.largest.setCurrentRow(-1)
        self.largest.blockSignals(False)

    def _go_to_error(self, index: int) -> None:
        if self._found is not None and 0 <= index < len(self._found.largest):
            box = self._found.largest[index].box
            self._go_to(tuple((side.start + side.stop - 1) // 2 for side in box))

    def _go_to_slice(self, index: int) -> None:
        if self._found is None:
            return
        wrong = np.argwhere(self._found.errors[index] > RIGHT)
        middle = np.array(self._found.errors.shape[1:]) // 2
        self._go_to((index, *(np.median(wrong, axis=0) if len(wrong) else middle)))

    def _go_to(self, voxel: tuple[float, ...]) -> None:
        pair = self._pair()
        if pair is not None:
            look_at_voxel(self._viewer, pair[1], voxel)

    def _mark_slice(self, event: Any = None) -> None:
        pair = self._pair() if isalive(self) else None
        if pair is not None:
            self.curve.show_slice(shown_slice(self._viewer, pair[1], DISPLAYED_AXIS))


def _legend_text(found: ErrorsFound) -> str:
    # A line may break between two entries, and not within one.
    return "&nbsp;&nbsp; ".join(
        f"<span style='color:{ERROR_COLOURS[kind]}'>■</span>&nbsp;"
        + KIND_NAMES[kind].replace(" ", "&nbsp;")
        for kind in kinds_of(found)
    )
