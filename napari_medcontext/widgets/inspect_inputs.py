"""What is looked into: a run, a scan and its labels, chosen once for the whole Inspect dock."""

from __future__ import annotations

from typing import Any

from napari.layers import Image, Labels
from qtpy.compat import isalive
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QWidget

from napari_medcontext.core.errors import ScanError
from napari_medcontext.core.run import RunFolder
from napari_medcontext.layer_geometry import is_scan
from napari_medcontext.pairing import pair_layers, scan_layers
from napari_medcontext.widgets.labels_box import LabelsBox, ScanBox
from napari_medcontext.widgets.run_chooser import RunChooser
from napari_medcontext.widgets.session import session_of


class InspectInputs(QWidget):
    """The choice of a run folder, an image layer and the labels drawn on it.

    Labels are suggested by where they lie and what they are called, until the user chooses.

    Parameters
    ----------
    viewer
        The napari viewer whose layers are offered.
    """

    changed = Signal()
    """Another run, scan or other labels are chosen now."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._told: tuple[Any, ...] = ()
        self.runs = RunChooser("inspect")
        self.run_path = self.runs.path
        self.scan_box = ScanBox("inspect_scan", "The scan to look into.")
        self.labels_box = LabelsBox(
            "inspect_labels", "The organs drawn on this scan, for scores and shares by organ."
        )
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.addRow("Run", self.runs)
        form.addRow("Scan", self.scan_box)
        form.addRow("Labels", self.labels_box)
        events = viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered, events.renamed):
            event.connect(self._follow_layers)
        self.scan_box.activated.connect(self._change_scan)
        self.labels_box.activated.connect(self._tell)
        self.runs.changed.connect(self._tell)
        session = session_of(viewer)
        session.run_changed.connect(self.runs.show_run)
        self.runs.show_run(session.run)
        self._follow_layers()

    @property
    def scan(self) -> Image | None:
        """The chosen image layer."""
        return self.scan_box.scan

    @property
    def labels(self) -> Labels | None:
        """The chosen labels layer."""
        return self.labels_box.layer

    @property
    def run(self) -> RunFolder | None:
        """The folder that is named, whether there is a run or not."""
        return self.runs.run

    def required_scan(self) -> Image:
        """Return the chosen image layer.

        Raises
        ------
        ScanError
            If none is chosen.
        """
        if self.scan is None:
            raise ScanError("No scan is chosen. Open a scan and choose it beside “Scan”.")
        return self.scan

    def required_run(self) -> RunFolder:
        """Return the named run.

        Raises
        ------
        RunError
            If none is named, or there is no run in the folder.
        """
        return self.runs.required()

    def choose(self, scan: Image, labels: Labels | None = None) -> None:
        """Select what to look into, as a user would; without labels, those that fit."""
        self.scan_box.choose(scan)
        if labels is None:
            self._change_scan()
        else:
            self.labels_box.choose(labels)
            self._tell()

    def _change_scan(self) -> None:
        """Labels of another scan are no choice for this one."""
        self.labels_box.forget()
        self.labels_box.suggest(self._partner)
        self._tell()

    def _follow_layers(self, event: Any = None) -> None:
        if not isalive(self):
            return
        layers = list(self._viewer.layers)
        self.scan_box.show_layers([layer for layer in scan_layers(layers) if is_scan(layer)])
        self.labels_box.show_layers([layer for layer in layers if isinstance(layer, Labels)])
        self.scan_box.suggest(_first_seen)
        self.labels_box.suggest(self._partner)
        self._tell()

    def _partner(self, labels: list[Labels]) -> Labels | None:
        """Return the labels that belong to the chosen scan."""
        scans = [layer for layer in scan_layers(self._viewer.layers) if is_scan(layer)]
        pairs = pair_layers(scans, labels)
        return next((own for scan, own in pairs if scan is self.scan), None)

    def _tell(self) -> None:
        chosen = (self.run_path.text().strip(), self.scan, self.labels)
        if chosen != self._told:
            self._told = chosen
            self.changed.emit()


def _first_seen(scans: list[Any]) -> Any:
    """Return the first scan whose eye is open, or else the first."""
    return next((scan for scan in scans if scan.visible), scans[0] if scans else None)
