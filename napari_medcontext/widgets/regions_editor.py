"""The table of regions: which classes each is made of, outermost first."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QHeaderView, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from napari_medcontext.core.errors import MedContextError, SettingsError
from napari_medcontext.core.regions import checked_regions
from napari_medcontext.widgets.fold import Fold
from napari_medcontext.widgets.parts import Text, button, row

Regions = Mapping[str, tuple[int, ...]]
ClassNames = Mapping[int, str]
"""Class id to name; the name may be empty."""

COLUMNS = ("Region", "Class ids")
TABLE_HEIGHT = 130
EXPLANATION = (
    "Regions may lie inside each other: outermost first. Without any, classes exclude each other."
)
TUMOUR_IDS = (1, 2, 3, 4)
REGIONS = 3
"""As many classes at least make up as many regions."""
OEDEMA, ENHANCING = (2, 4)
"""Their ids as BraTS has them; since 2023 and in the Decathlon, what enhances is 3."""


class RegionsEditor(Fold):
    """A folded table of regions.

    Parameters
    ----------
    present
        Returns the classes that the training labels hold.
    """

    changed = Signal()

    def __init__(self, present: Callable[[], ClassNames]) -> None:
        super().__init__("train_regions")
        self._present = present
        self.table = QTableWidget(0, len(COLUMNS))
        self.table.setObjectName("train_regions_table")
        self.table.setToolTip("A name, and the class ids in the labels, for example 1, 2, 4.")
        self.table.setHorizontalHeaderLabels(COLUMNS)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.table.verticalHeader().hide()
        self.table.setFixedHeight(TABLE_HEIGHT)
        self.message = Text("train_regions_message")
        self._lay_out()
        self.table.itemChanged.connect(self._follow)
        self._follow()

    def regions(self) -> Regions:
        """Return the table; empty without regions.

        Raises
        ------
        SettingsError
            Naming the region that cannot be learned.
        """
        written = [self._texts(index) for index in range(self.table.rowCount())]
        table: dict[str, tuple[int, ...]] = {}
        for name, ids in written:
            if name and name in table:
                raise SettingsError(f"There are two regions “{name}”. Remove or rename one.")
            if name or ids:
                table[name] = _class_ids(name, ids)
        try:
            return checked_regions(table)
        except ValueError as error:
            raise SettingsError(f"The regions cannot be learned: {error}.") from error

    def set_regions(self, regions: Regions) -> None:
        """Show these regions instead."""
        with QSignalBlocker(self.table):
            self.table.setRowCount(0)
            for name, members in regions.items():
                self._append(name, ", ".join(map(str, members)))
        self._follow()

    def _lay_out(self) -> None:
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(Text("train_regions_explanation", EXPLANATION))
        layout.addWidget(self.table)
        layout.addLayout(
            row(
                button("train_regions_add", "Add", "Add a region, inside or apart.", self._add),
                button("train_regions_remove", "Remove", "Remove the region.", self._remove),
                button(
                    "train_regions_brats",
                    "BraTS",
                    "Whole tumour, tumour core and enhancing tumour, from the classes that the "
                    "training labels hold. Check the ids: data sets number them differently.",
                    self._fill_in,
                ),
                None,
            )
        )
        layout.addWidget(self.message)
        self.addWidget(content)

    def _texts(self, index: int) -> tuple[str, str]:
        items = [self.table.item(index, column) for column in range(len(COLUMNS))]
        name, ids = ("" if item is None else item.text().strip() for item in items)
        return name, ids

    def _append(self, name: str, ids: str) -> None:
        index = self.table.rowCount()
        self.table.insertRow(index)
        self.table.setItem(index, 0, QTableWidgetItem(name))
        self.table.setItem(index, 1, QTableWidgetItem(ids))

    def _add(self) -> None:
        self._append("", "")
        last = self.table.item(self.table.rowCount() - 1, 0)
        self.table.setCurrentItem(last)
        self.table.editItem(last)

    def _remove(self) -> None:
        chosen = self.table.currentRow()
        self.table.removeRow(chosen if chosen >= 0 else self.table.rowCount() - 1)
        self._follow()

    def _fill_in(self) -> None:
        try:
            self.set_regions(brats_regions(self._present()))
        except MedContextError as error:
            self._tell(f"⚠ {error}")

    def _follow(self) -> None:
        """Tell of the change, and say in the folded line what lies beneath."""
        try:
            names, problem = ", ".join(self.regions()), ""
        except MedContextError as error:
            names, problem = "⚠ to be mended", f"⚠ {error}"
        self.setText(f"Regions: {names or 'none, each voxel is of one class'}")
        self._tell(problem)
        self.changed.emit()

    def _tell(self, problem: str) -> None:
        self.message.setText(problem)
        self.message.setVisible(bool(problem))


def brats_regions(classes: ClassNames) -> Regions:
    """Return whole tumour, tumour core and enhancing tumour for the ids that are there.

    The core is all but the oedema. That is class 2 unless a name says otherwise, and what
    enhances is 4, or 3 where there is no 4.

    Parameters
    ----------
    classes
        The ids in the labels; where too few are there, those of the older BraTS are taken.
    """
    tumour = [k for k in TUMOUR_IDS if k in classes]
    if len(tumour) < REGIONS:
        tumour = [1, OEDEMA, ENHANCING]
    named = [k for k in tumour if re.search("o?edema", classes.get(k, ""), re.IGNORECASE)]
    oedema = named[0] if named else OEDEMA
    enhancing = ENHANCING if ENHANCING in tumour else ENHANCING - 1
    core = [k for k in tumour if k != oedema]
    return {"WT": tuple(tumour), "TC": tuple(core), "ET": (enhancing,)}


def _class_ids(name: str, text: str) -> tuple[int, ...]:
    parts = re.split(r"[\s,]+", text)
    if not all(part.isdecimal() and int(part) for part in parts):
        raise SettingsError(
            f"Region “{name}” needs class ids, whole numbers from 1 up, for example 1, 2, 4; "
            f"not “{text}”."
        )
    return tuple(int(part) for part in parts)
