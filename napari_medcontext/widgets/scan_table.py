"""The table of scans: which image goes with which labels, and what each is used for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, get_args

from napari.layers import Image, Labels
from qtpy.compat import isalive
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_medcontext.core.config import Role
from napari_medcontext.layer_channels import first_channels
from napari_medcontext.pairing import pair_layers, scan_layers
from napari_medcontext.widgets.parts import ChoiceBox, LongList, choices

ROLES: tuple[Role, ...] = get_args(Role)
NO_LABELS = "–"
COLUMNS = ("Image", "Labels", "Use for")


@dataclass(frozen=True, eq=False)
class ScanRow:
    """One row: layers are held themselves, so that renaming one changes nothing."""

    image: Image
    labels: Labels | None
    role: Role
    chosen: bool = False
    """Whether the user set it so; then nothing else changes it."""


class ScanTable(QTableWidget):
    """A row for each scan of the viewer, paired with labels by name and grid.

    What was predicted, or kept from a preview, is no scan. Choices follow layers by identity:
    a layer that is renamed keeps its row, one that is removed loses it, and a row whose labels
    are removed says so by having none.
    """

    changed = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__(0, len(COLUMNS))
        self.setObjectName("train_scans")
        self.setHorizontalHeaderLabels(COLUMNS)
        self.setSelectionMode(QAbstractItemView.NoSelection)
        self.verticalHeader().hide()
        self.horizontalHeader().setSectionResizeMode(QHeaderView.Stretch)
        self.setToolTip("Scans and their labels. Labels must be drawn on the very same grid.")
        self._layers = viewer.layers
        self._rows: list[ScanRow] = []
        self.channels: tuple[str, ...] = ()
        for emitter in (self._layers.events.inserted, self._layers.events.removed):
            emitter.connect(self._follow)
        self._layers.events.renamed.connect(self._follow)
        self.pair()

    def rows(self) -> list[ScanRow]:
        """Return all rows as chosen."""
        return list(self._rows)

    def pair(self) -> None:
        """Pair all anew: labelled scans train, others are for the preview or unused."""
        pairs = pair_layers(self._images(), self._labels())
        self._rows = [
            ScanRow(image, labels, "training" if labels is not None else "unused")
            for image, labels in pairs
        ]
        self._show()

    def show_channels(self, names: tuple[str, ...]) -> None:
        """Take layers whose names end with these for channels of one scan, a row a scan."""
        if names != self.channels:
            self.channels = names
            self._follow()

    def choose(self, image: Image, labels: Labels | None, role: Role) -> None:
        """Set one row."""
        self._rows = [
            ScanRow(image, labels, role, chosen=True) if row.image is image else row
            for row in self._rows
        ]
        self._show()

    def _images(self) -> list[Image]:
        return first_channels(scan_layers(self._layers), self.channels)

    def _labels(self) -> list[Labels]:
        return [layer for layer in self._layers if isinstance(layer, Labels)]

    def _follow(self, event: Any = None) -> None:
        """Keep what was chosen for layers that are still there; pair the new ones."""
        if not isalive(self):
            return
        images, drawn = self._images(), self._labels()
        kept = {
            id(row.image): row if row.labels in drawn else replace(row, labels=None)
            for row in self._rows
        }
        taken = {id(row.labels) for row in kept.values() if row.labels is not None}
        free = [labels for labels in drawn if id(labels) not in taken]
        unpaired = [image for image in images if id(image) not in kept or self._waits(kept, image)]
        for image, labels in pair_layers(unpaired, free):
            if labels is not None or id(image) not in kept:
                role: Role = "training" if labels is not None else "unused"
                kept[id(image)] = ScanRow(image, labels, role)
        self._rows = [kept[id(image)] for image in images]
        self._show()

    @staticmethod
    def _waits(kept: dict[int, ScanRow], image: Image) -> bool:
        """Say whether a scan has no labels for other reasons than the user's wish.

        They were not loaded yet, or taken out, as napari does with those that it converts.
        """
        row = kept[id(image)]
        return row.labels is None and not row.chosen

    def _show(self) -> None:
        # Emptied first: a replaced editor would show in the corner until it is deleted.
        self.setRowCount(0)
        self.setRowCount(len(self._rows))
        for index, row in enumerate(self._rows):
            name = QTableWidgetItem(row.image.name)
            name.setFlags(Qt.ItemIsEnabled)
            name.setToolTip(row.image.name)
            self.setItem(index, 0, name)
            self.setCellWidget(index, 1, self._labels_box(index, row))
            self.setCellWidget(index, 2, self._role_box(index, row))
        self.changed.emit()

    def _labels_box(self, index: int, row: ScanRow) -> ChoiceBox:
        box = _box(f"scan_{index}_labels", "The labels that were drawn on this scan.")
        options: list[Labels | None] = [None, *self._labels()]
        box.addItems([NO_LABELS if layer is None else layer.name for layer in options])
        box.setCurrentIndex(next(i for i, layer in enumerate(options) if layer is row.labels))
        box.currentIndexChanged.connect(
            lambda chosen: self._replace(row.image, labels=options[chosen])
        )
        return box

    def _role_box(self, index: int, row: ScanRow) -> ChoiceBox:
        box = _box(f"scan_{index}_role", "What this scan is used for.")
        box.addItems(ROLES)
        box.setCurrentText(row.role)
        box.currentTextChanged.connect(lambda role: self._replace(row.image, role=role))
        return box

    def _replace(self, image: Image, **changes: Any) -> None:
        self._rows = [
            replace(row, **changes, chosen=True) if row.image is image else row
            for row in self._rows
        ]
        self.changed.emit()


def _box(name: str, tip: str) -> ChoiceBox:
    return choices(name, tip, [], LongList(8))
