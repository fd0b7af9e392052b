"""Controls of panels: 2D or 3D, linked slices, contrast, cover of the labels, a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari.utils.notifications import show_error
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QWidget,
)

from napari_medcontext.core.errors import MedContextError, RunError
from napari_medcontext.widgets.contrast import contrast_slider
from napari_medcontext.widgets.figure import save_figure
from napari_medcontext.widgets.panel_picture import panels_figure
from napari_medcontext.widgets.panels import PanelViewer
from napari_medcontext.widgets.parts import button, tick_box


class PanelControls(QWidget):
    """A row of controls of a panel viewer; ``picture_button`` is for its dock to place.

    Parameters
    ----------
    dock
        Begins the names of the controls.
    panels
        What they control.
    caption
        Says what is shown, to stand below a picture of it.
    """

    def __init__(self, dock: str, panels: PanelViewer, caption: Callable[[], str]) -> None:
        super().__init__()
        self._panels, self._caption = panels, caption
        self.slices_button = QPushButton("2D", toolTip="Show one slice of the scan.")
        self.volumes_button = QPushButton("3D", toolTip="Show the whole scan, to turn around.")
        choice = QButtonGroup(self)
        for dimensions in (self.slices_button, self.volumes_button):
            dimensions.setCheckable(True)
            dimensions.setFixedWidth(40)
            choice.addButton(dimensions)
        self.slices_button.setChecked(True)
        self.volumes_button.toggled.connect(panels.show_3d)
        panels.volumes_shown.connect(self._press_dimensions)
        self.link_box = tick_box(
            f"{dock}_link",
            "Link slices",
            "Show the same slice, in mm, here and in the main window.",
        )
        self.link_box.toggled.connect(panels.link_slices)
        self.contrast_slider = contrast_slider(
            f"{dock}_contrast",
            "The intensities that are shown darkest and brightest, in all panels.",
            panels.contrast,
        )
        self.opacity_slider = QSlider(Qt.Orientation.Horizontal)
        self.opacity_slider.setObjectName(f"{dock}_opacity")
        self.opacity_slider.setRange(0, 100)
        self.opacity_slider.setToolTip("How much the labels cover the scan, in per cent.")
        self.opacity_slider.valueChanged.connect(self._set_opacity)
        self.opacity_slider.setValue(50)
        self.picture_button = button(
            f"{dock}_picture",
            "Picture…",
            "Save the panels as they are as a PNG, with legend, scale bar and slice.",
            self._ask_and_save,
        )
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for control in (self.slices_button, self.volumes_button, self.link_box):
            layout.addWidget(control)
        for title, slider in (("Contrast", self.contrast_slider), ("Labels", self.opacity_slider)):
            layout.addWidget(QLabel(title))
            layout.addWidget(slider, stretch=1)

    def save_picture(self, path: Path) -> None:
        """Write the panels as PNG; what goes wrong is told in napari's notifications."""
        figure = panels_figure(self._panels, self._caption())
        try:
            if figure is None:
                raise RunError("There is nothing to take a picture of yet.")
            save_figure(figure, path)
        except MedContextError as error:
            show_error(str(error))

    def _ask_and_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the picture", "panels.png", "PNG (*.png)")
        if path:
            self.save_picture(Path(path).with_suffix(".png"))

    def _set_opacity(self, per_cent: int) -> None:
        self._panels.set_labels_opacity(per_cent / 100)

    def _press_dimensions(self, volumes: bool) -> None:
        (self.volumes_button if volumes else self.slices_button).setChecked(True)
