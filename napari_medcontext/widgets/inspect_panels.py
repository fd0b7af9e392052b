"""The panels of the Inspect dock: four linked views of one scan, as in the preview."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_medcontext.core.events import PreviewReady
from napari_medcontext.widgets.panel_controls import PanelControls
from napari_medcontext.widgets.panels import PanelViewer
from napari_medcontext.widgets.parts import Text, button, row
from napari_medcontext.widgets.preview import TITLES, keep, panels_of


class InspectPanels(QWidget):
    """Reference, masked input, student and teacher; out of sight until there is an answer.

    Parameters
    ----------
    viewer
        The viewer whose theme, and slice if asked, is followed.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._shown: tuple[PreviewReady, Mapping[int, str]] | None = None
        self.panels = PanelViewer(TITLES)
        self.panels.follow(viewer)
        self.header = Text("inspect_header")
        self.controls = PanelControls("inspect", self.panels, self.header.text)
        self.keep_button = button(
            "inspect_keep",
            "Keep as layers",
            "Add the scan, the masked scan and the labels of all panels to the main window.",
            self.keep_as_layers,
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        head = row(self.header, self.controls.picture_button, self.keep_button)
        head.setStretch(0, 1)
        layout.addLayout(head)
        layout.addWidget(self.panels, stretch=1)
        layout.addWidget(self.controls)
        self.setVisible(False)

    def show_answers(
        self, preview: PreviewReady, class_names: Mapping[int, str], header: str
    ) -> None:
        """Show these answers instead, soon.

        Parameters
        ----------
        preview
            Image and labels of all panels.
        class_names
            Class id to name.
        header
            What is shown, in words.
        """
        shown = self.panels.shown_image
        image = shown if np.array_equal(shown, preview.image) else preview.image
        self._shown = preview, class_names
        self.header.setText(header)
        self.setVisible(True)
        self.panels.show_panels(panels_of(preview, image, class_names))

    def offer(self, wanted: bool) -> None:
        """Be in sight, once there is an answer, or leave the room to others."""
        self.setVisible(wanted and self._shown is not None)

    def keep_as_layers(self) -> None:
        """Add what is shown to the main viewer."""
        if self._shown is not None:
            keep(self._viewer, *self._shown)
