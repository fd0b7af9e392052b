"""The Inspect dock: look into what a network knows, and into what it will learn from."""

from __future__ import annotations

from typing import Any

from napari.viewer import Viewer
from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QSplitter, QVBoxLayout, QWidget

from napari_medcontext.widgets.fold import Fold
from napari_medcontext.widgets.inspect_inputs import InspectInputs
from napari_medcontext.widgets.inspect_panels import InspectPanels
from napari_medcontext.widgets.inspector import Inspector
from napari_medcontext.widgets.session import real_viewer

SECTIONS = {
    "mask": ("Mask designer", "See on a scan what a training would hide, before there is any."),
    "timeline": ("Through time", "See how a run's answers came about, step by step."),
    "recon": ("Reconstruction", "Hide a part of the scan and see what the student brings back."),
    "probe": (
        "Context probe",
        "Hide an organ entirely and see how much of it the student knows from its surroundings.",
    ),
    "disagree": (
        "Disagreement",
        "See where student and teacher differ, and which slice to annotate next.",
    ),
}
"""Name of each section: its title, and what it is for."""
SIZE = QSize(460, 760)
QWIDGETSIZE_MAX = 2**24 - 1
SECTIONS_HEIGHT = 320
"""Least pixels for the sections once the panels are there."""
IN_PANELS = ("timeline", "recon")
"""The sections whose answers come in the panels; tables of others want their room."""
PANELS_SHARE = (1, 1)
"""How the dock's height is shared by the sections and the panels."""


class InspectDock(QWidget):
    """Folded sections over one run, one scan and its labels, with panels below.

    A section is made when it is unfolded first, so that opening the dock costs little.

    Parameters
    ----------
    napari_viewer
        The napari viewer whose layers are offered.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        # napari hands docks a proxy, whose layers are never the same objects twice.
        viewer = real_viewer(napari_viewer)
        self.setObjectName("inspect")
        self._viewer = viewer
        self.inputs = InspectInputs(viewer)
        self.inspector = Inspector(viewer, self.inputs)
        self.panels = InspectPanels(viewer)
        self.sections: dict[str, QWidget] = {}
        """What was unfolded so far, by name."""
        self._folds = {name: self._fold(name, *words) for name, words in SECTIONS.items()}
        self._lay_out()

    def sizeHint(self) -> QSize:
        """Return the size at which a section and the panels are seen."""
        return SIZE

    def unfold(self, name: str) -> Any:
        """Open a section, as a press on its line does, and return it."""
        self._folds[name].expand(animate=False)
        return self.sections[name]

    def _fold(self, name: str, title: str, tip: str) -> Fold:
        fold = Fold(f"inspect_{name}")
        fold.setText(title)
        fold.setToolTip(f"{tip} Press to open or close.")
        fold.setDuration(0)
        fold.toggled.connect(lambda opened: self._show(name, opened))
        return fold

    def _show(self, name: str, opened: bool) -> None:
        """Show or hide a section; it is made when it is shown first."""
        content = self._folds[name].content()
        if opened and name not in self.sections:
            self.sections[name] = self._made(name)
            content.layout().addWidget(self.sections[name])
        if name in self.sections:
            # Hidden, so that its keys are free and nothing plays to nobody.
            self.sections[name].setVisible(opened)
        if opened:
            # It may grow: tables come with answers.
            content.setMaximumHeight(QWIDGETSIZE_MAX)
        self.panels.offer(any(self._folds[name].isExpanded() for name in IN_PANELS))

    def _made(self, name: str) -> QWidget:
        """Make a section; its module is imported only now, since plots take a while to load."""
        viewer, inputs, inspector, panels = self._viewer, self.inputs, self.inspector, self.panels
        if name == "mask":
            from napari_medcontext.widgets.mask_designer import MaskDesigner

            return MaskDesigner(viewer, inputs)
        if name == "timeline":
            from napari_medcontext.widgets.timeline import TimelineView

            return TimelineView(viewer, inputs, panels)
        if name == "recon":
            from napari_medcontext.widgets.reconstruction import ReconstructionView

            return ReconstructionView(viewer, inputs, inspector, panels)
        if name == "probe":
            from napari_medcontext.widgets.probe import ProbeView

            return ProbeView(viewer, inputs, inspector)
        from napari_medcontext.widgets.disagreement import DisagreementView

        return DisagreementView(viewer, inputs, inspector)

    def _lay_out(self) -> None:
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addWidget(self.inputs)
        for fold in self._folds.values():
            layout.addWidget(fold)
        layout.addStretch()
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidget(content)
        scroll.setMinimumHeight(SECTIONS_HEIGHT)
        splitter = QSplitter(Qt.Orientation.Vertical)
        splitter.setChildrenCollapsible(False)
        splitter.addWidget(scroll)
        splitter.addWidget(self.panels)
        for place, share in enumerate(PANELS_SHARE):
            splitter.setStretchFactor(place, share)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(splitter)
        self.setMinimumWidth(380)
