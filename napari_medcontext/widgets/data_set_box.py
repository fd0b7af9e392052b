"""A choice among public data sets that are known: their settings, channels, regions and split."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_medcontext.core.config import Case
from napari_medcontext.core.data_presets import DataPreset, data_presets, load_split, parted
from napari_medcontext.core.errors import MedContextError
from napari_medcontext.widgets.forms import field_label
from napari_medcontext.widgets.parts import LongList, Text, choices, row
from napari_medcontext.widgets.scan_table import ScanTable

OTHER = "none of the known ones"
TIP = (
    "Where the scans are those of a public data set: takes its classes, intensity window, spacing, "
    "patch size, channels, regions and published split. Change single settings afterwards."
)


class DataSetBox(QWidget):
    """A list of data sets and, below it, what choosing one came to.

    Parameters
    ----------
    scans
        The table whose scans a published split parts.
    """

    chosen = Signal(object)
    """The user chose this ``DataPreset``."""

    def __init__(self, scans: ScanTable) -> None:
        super().__init__()
        self._scans = scans
        known = [(preset.title, name) for name, preset in data_presets().items()]
        self.box = choices("train_data_set", TIP, [(OTHER, None), *known], LongList())
        self.message = Text("train_data_set_message")
        self.message.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row(field_label("Data set"), self.box))
        layout.addWidget(self.message)
        self.box.activated.connect(self._choose)

    @property
    def preset(self) -> DataPreset | None:
        """What is known of the chosen data set; None where none is chosen."""
        name = self.box.currentData()
        return None if name is None else data_presets()[name]

    @property
    def class_names(self) -> dict[int, str]:
        """What the chosen data set's classes are called, by id; empty where none is chosen."""
        return {} if self.preset is None else dict(self.preset.classes)

    def _choose(self) -> None:
        preset = self.preset
        if preset is None:
            self._tell("Settings stay as they are.")
            return
        # First: which channels there are says which layers are scans.
        self.chosen.emit(preset)
        self._tell(self._parted(preset))

    def _parted(self, preset: DataPreset) -> str:
        """Set the scans that the published split does not train on to “unused”, and say so."""
        told = f"Channels: {', '.join(preset.channels)}."
        if preset.split is None:
            return f"{told} There is no published split: choose what each scan is for."
        rows = self._scans.rows()
        cases = [Case(name=each.image.name, image=Path(each.image.name)) for each in rows]
        try:
            parts = parted(cases, load_split(preset.split))
        except MedContextError as error:
            return f"⚠ {error}"
        trained = {case.name for case in parts.training}
        for each in rows:
            if each.image.name not in trained:
                self._scans.choose(each.image, each.labels, "unused")
        return (
            f"{told} By the published split {len(parts.training)} of these scans are to train on; "
            f"{len(parts.test)} are to test on and now unused, as are {len(parts.others)} others."
        )

    def _tell(self, text: str) -> None:
        self.message.setText(text)
        self.message.setVisible(bool(text))
