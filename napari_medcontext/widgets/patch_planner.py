"""Patch planner: what each patch size would see of the labels, which to take, and why."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QAbstractItemView, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from napari_medcontext.core.errors import MedContextError, ScanError
from napari_medcontext.core.patch_plan import PatchPlan
from napari_medcontext.core.patch_plan.words import HEADS, TIPS, plan_cells
from napari_medcontext.widgets.parts import Text, button, row, tick_box
from napari_medcontext.widgets.patch_box import show_patch
from napari_medcontext.widgets.patch_planning import PatchPlanning
from napari_medcontext.widgets.patch_plot import PatchPlot
from napari_medcontext.widgets.scan_choice import chosen_scans
from napari_medcontext.widgets.scan_table import ScanTable
from napari_medcontext.widgets.settings_panel import SettingsPanel

ROW_HEIGHT = 24


class PatchPlanner(QWidget):
    """A press plans; a row is a patch size, to be used or shown.

    Parameters
    ----------
    viewer
        The napari viewer; one shapes layer of ours is added to it.
    scans, settings
        Those of the training to come.
    """

    def __init__(self, viewer: Any, scans: ScanTable, settings: SettingsPanel) -> None:
        super().__init__()
        self._viewer, self._scans, self._settings = viewer, scans, settings
        self._planning: PatchPlanning | None = None
        self.plan: PatchPlan | None = None
        """What was planned last."""
        self._build()
        self._offer()

    def ask(self) -> None:
        """Plan for the scans and settings as they are now."""
        try:
            config = self._settings.config()
            layers, channels = list(self._viewer.layers), self._scans.channels
            scans = chosen_scans(self._scans.rows(), layers, config, channels)
        except MedContextError as error:
            self._tell_error(str(error))
            return
        planning = PatchPlanning(scans, config, channels=channels, probe=self.probe_box.isChecked())
        planning.progressed.connect(lambda text: self.message.setText(f"{text}…"))
        planning.ended.connect(self._show)
        # Where the dock closes meanwhile, nobody waits for the plan.
        self.destroyed.connect(lambda: planning.let_go())
        self._planning = planning
        self.message.setText("Starting…")
        self._offer()
        planning.start()

    def use(self) -> None:
        """Put the chosen size into the settings."""
        if (size := self.chosen) is None:
            return
        try:
            self._settings.set_config(
                self._settings.config().updated({"data": {"patch_size": size}})
            )
        except MedContextError as error:
            self._tell_error(str(error))

    def show_chosen(self) -> None:
        """Draw a patch of the chosen size over the labels of the first training scan."""
        if self.plan is None or (size := self.chosen) is None:
            return
        rows = [each for each in self._scans.rows() if each.role == "training"]
        labels = next((each.labels for each in rows if each.labels is not None), None)
        try:
            if labels is None:
                raise ScanError("No training scan has labels any more. Choose some above.")
            show_patch(self._viewer, labels, size, self.plan.spacing)
        except MedContextError as error:
            self._tell_error(str(error))

    @property
    def chosen(self) -> tuple[int, int, int] | None:
        """The patch size of the row that is chosen."""
        place = self.table.currentRow()
        return self.plan.sights[place].size if self.plan is not None and place >= 0 else None

    def _build(self) -> None:
        self.plan_button = button(
            "planner_plan",
            "Plan patches",
            "See what patches of 32 to 128 voxels would see of the training scans' labels.",
            self.ask,
        )
        self.probe_box = tick_box(
            "planner_probe",
            "Measure steps",
            "Do a few real training steps with each size, up to about 3 minutes in all.",
        )
        self.probe_box.setChecked(True)
        self.message = Text("planner_message")
        self.table = QTableWidget(0, len(HEADS))
        self.table.setObjectName("planner_table")
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setTabKeyNavigation(False)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        for place, head in enumerate(HEADS):
            item = QTableWidgetItem(head)
            item.setToolTip(TIPS[place])
            self.table.setHorizontalHeaderItem(place, item)
        self.table.currentCellChanged.connect(lambda *_: self._offer())
        self.plot = PatchPlot()
        self.use_button = button(
            "planner_use", "Use this size", "Train with patches of the chosen size.", self.use
        )
        self.show_button = button(
            "planner_show",
            "Show patch",
            "Draw a patch of the chosen size round the labels of the first training scan.",
            self.show_chosen,
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row(self.plan_button, self.probe_box, None))
        layout.addWidget(self.message)
        layout.addWidget(self.table)
        layout.addLayout(row(self.use_button, self.show_button, None))
        layout.addWidget(self.plot)

    def _show(self, plan: PatchPlan | None, message: str) -> None:
        self._planning = None
        if plan is None:
            self._tell_error(message)
            self._offer()
            return
        self.plan = plan
        self.message.setText(message)
        cells = plan_cells(plan)
        self.table.setRowCount(len(cells))
        for place, texts in enumerate(cells):
            for column, text in enumerate(texts):
                item = QTableWidgetItem(text)
                item.setToolTip(plan.cost_of(plan.sights[place].size).problem)
                self.table.setItem(place, column, item)
        self.table.resizeColumnsToContents()
        height = self.table.horizontalHeader().sizeHint().height() + ROW_HEIGHT * len(cells)
        height += self.table.horizontalScrollBar().sizeHint().height()
        self.table.setFixedHeight(height + 2 * self.table.frameWidth() + 2)
        sizes = [sight.size for sight in plan.sights]
        self.table.setCurrentCell(sizes.index(plan.advised) if plan.advised else 0, 0)
        self.plot.show_plan(plan)
        self._offer()

    def _offer(self) -> None:
        """Offer what can be pressed now."""
        self.plan_button.setEnabled(self._planning is None)
        for widget in (self.table, self.plot, self.use_button, self.show_button):
            widget.setVisible(self.plan is not None)
        for widget in (self.use_button, self.show_button):
            widget.setEnabled(self.chosen is not None)

    def _tell_error(self, text: str) -> None:
        self.message.setText(f"⚠ {text}")
