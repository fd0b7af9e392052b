"""Mask designer: what a training would hide of a scan, drawn on it before there is any training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from qtpy.compat import isalive
from qtpy.QtCore import QSignalBlocker
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_medcontext.core.config import RunConfig
from napari_medcontext.core.errors import MedContextError, ScanError
from napari_medcontext.core.mask_design import (
    DesignedMask,
    HiddenShare,
    TrainingGrid,
    design_mask,
    hidden_shares,
)
from napari_medcontext.core.method_settings import MaskingSettings
from napari_medcontext.core.volume import Volume
from napari_medcontext.layer_geometry import layer_grid
from napari_medcontext.layer_volumes import layer_to_volume
from napari_medcontext.overlays import show_over, shown_over, take_away
from napari_medcontext.widgets.docks import open_dock
from napari_medcontext.widgets.forms import SectionForm
from napari_medcontext.widgets.inspect_inputs import InspectInputs
from napari_medcontext.widgets.latest import Latest
from napari_medcontext.widgets.mask_plan import TrainingPlan, train_dock, training_plan
from napari_medcontext.widgets.mask_words import described
from napari_medcontext.widgets.organ_table import Column, OrganRow, OrganTable
from napari_medcontext.widgets.parts import Text, WholeBox, button, row, shortcut, tick_box

WHAT = "mask"
FIELDS = ("scheme", "ratio", "ratio_range", "block_size", "block_size_mm", "axis", "site")
HIDDEN_COLOUR = (0.96, 0.96, 0.96, 1.0)
OPACITY = 0.65
HIGHEST_SEED = 2**31 - 1
COLUMNS = (
    Column("Hidden\n%", "Share of the organ's voxels that the mask hides, in per cent.", 1),
    Column("Volume\nml", "Volume of the organ, in millilitres.", 1),
)
SUPERVISED_HINT = " Its method is supervised, which hides nothing: choose MedContext there."


class MaskDesigner(QWidget):
    """Settings of a mask, the mask on the scan as it is drawn with them, and what it hides.

    Parameters
    ----------
    viewer
        The napari viewer; one labels layer of ours is added to it.
    inputs
        The scan and its labels.
    """

    def __init__(self, viewer: Any, inputs: InspectInputs) -> None:
        super().__init__()
        self._viewer, self._inputs = viewer, inputs
        self._plan: TrainingPlan | None = None
        self.mask: DesignedMask | None = None
        """What is shown."""
        self._masks, self._shares = Latest(self), Latest(self)
        self._masks.done.connect(self._show_mask)
        self._masks.failed.connect(self._tell_error)
        self._shares.done.connect(self._show_shares)
        self._shares.failed.connect(self._tell_error)
        self._build()
        if (dock := train_dock(viewer)) is not None:
            self._take(dock.settings)
        inputs.changed.connect(self.draw)
        viewer.layers.events.removed.connect(self._follow_removal)
        self.draw()

    def draw(self) -> None:
        """Draw the mask anew, soon, with what the form says."""
        if not self.live_box.isChecked():
            return
        try:
            plan, masking = self._settings()
            config = plan.config.updated({"masking": masking})
            scan = self._inputs.required_scan()
            place = layer_grid(scan, list(self._viewer.layers))
            labels = self._label_volume(scan)
        except MedContextError as error:
            self._masks.forget()
            self._tell_error(str(error))
            return
        self._plan = plan
        grid, seed = TrainingGrid.of(config, plan.spacings), self.seed_box.value()

        def task() -> tuple[DesignedMask, RunConfig, Image]:
            return design_mask(place, config, grid, seed, labels), config, scan

        self._masks.ask(task)

    def new_draw(self) -> None:
        """Draw with the next seed."""
        self.seed_box.setValue((self.seed_box.value() + 1) % HIGHEST_SEED)

    def use_in_train(self) -> None:
        """Give these settings to the Train dock, and open it."""
        try:
            masking = self._settings()[1]
            dock = open_dock(self._viewer, "Train")
            config = dock.config().updated({"masking": masking})
            dock.set_config(config)
        except MedContextError as error:
            self._tell_error(str(error))
            return
        hint = "" if config.objective.has_masked_view else SUPERVISED_HINT
        self.message.setText(f"The Train dock has these settings now.{hint}")

    def showEvent(self, event: QShowEvent | None) -> None:  # Qt's own name
        """Draw by what was changed in other docks meanwhile."""
        super().showEvent(event)
        self.draw()

    def _build(self) -> None:
        self.form = SectionForm(MaskingSettings, FIELDS)
        self.form.changed.connect(self.draw)
        self.seed_box = WholeBox()
        self.seed_box.setObjectName("mask_seed")
        self.seed_box.setRange(0, HIGHEST_SEED)
        self.seed_box.setToolTip(
            "Number that fixes the draw. With the seed of a training, the mask is that of its "
            "previews."
        )
        self.seed_box.valueChanged.connect(self.draw)
        self.draw_button = button(
            "mask_new_draw", "New draw", "Draw another mask with the next seed.", self.new_draw
        )
        shortcut(self.draw_button, "Alt+Shift+D")
        self.live_box = tick_box(
            "mask_live", "Show on the scan", "Show the mask over the scan, in 2D and in 3D."
        )
        self.live_box.setChecked(True)
        self.live_box.toggled.connect(self._toggle)
        self.volume_button = button(
            "mask_3d",
            "2D / 3D",
            "Show the main window in 3D, or in slices again.",
            self._turn,
        )
        shortcut(self.volume_button, "Alt+Shift+V")
        self.message = Text("mask_message")
        self.table = OrganTable("mask_table", COLUMNS)
        self.table.setVisible(False)
        self.use_button = button(
            "mask_use",
            "Use in Train",
            "Give these settings to the Train dock; it is opened if it is closed.",
            self.use_in_train,
        )
        shortcut(self.use_button, "Alt+Shift+U")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.form)
        layout.addLayout(row(QLabel("Seed"), self.seed_box, self.draw_button))
        layout.addLayout(row(self.live_box, None, self.volume_button))
        layout.addWidget(self.message)
        layout.addWidget(self.table)
        layout.addWidget(self.use_button)

    def _settings(self) -> tuple[TrainingPlan, dict[str, Any]]:
        plan = training_plan(self._viewer, self._inputs.run, self._inputs.required_scan())
        masking = plan.config.updated({"masking": self.form.values()}).masking
        return plan, {name: getattr(masking, name) for name in FIELDS}

    def _take(self, settings: Any) -> None:
        """Begin with what the Train dock says, as far as it is without fault."""
        try:
            masking = settings.config().masking.model_dump()
        except MedContextError:
            return
        with QSignalBlocker(self.form):
            self.form.set_values(masking)

    def _label_volume(self, scan: Image) -> Volume | None:
        """Return the chosen labels; raises ``ScanError`` where they are another scan's."""
        labels, layers = self._inputs.labels, list(self._viewer.layers)
        if labels is None:
            return None
        volume = layer_to_volume(labels, layers)
        if volume.turned_onto(layer_grid(scan, layers)) is None:
            raise ScanError(
                f"“{labels.name}” does not lie on “{scan.name}”. Choose the labels that were "
                "drawn on this scan."
            )
        return volume

    def _show_mask(self, answer: tuple[DesignedMask, RunConfig, Image]) -> None:
        mask, config, scan = answer
        if not self.live_box.isChecked() or scan not in self._viewer.layers:
            return
        self.mask = mask
        attributes = {
            "colormap": {None: np.zeros(4), 0: np.zeros(4), 1: np.array(HIDDEN_COLOUR)},
            "opacity": OPACITY,
            "visible": scan.visible,
        }
        try:
            layer = show_over(self._viewer, Labels, mask.volume, scan, WHAT, attributes)
            layer.editable = False
            labels = self._label_volume(scan)
        except MedContextError as error:
            self._tell_error(str(error))
            return
        source = "" if self._plan is None else self._plan.source
        self.message.setText(described(mask, config, source, labels is not None))
        self.table.setVisible(labels is not None)
        if labels is not None:
            self._shares.ask(_share_task(mask.volume, labels))

    def _show_shares(self, shares: list[HiddenShare]) -> None:
        rows = [
            OrganRow(share.class_id, share.name, (100 * share.share, share.volume_ml))
            for share in shares
        ]
        labels = self._inputs.labels
        self.table.show_rows(rows, labels)

    def _toggle(self, on: bool) -> None:
        if on:
            self.draw()
            return
        self._masks.forget()
        take_away(self._viewer, WHAT)

    def _follow_removal(self, event: Any = None) -> None:
        """Leave a mask away that the user removed, until it is asked for again."""
        if not isalive(self) or self.mask is None or not self.live_box.isChecked():
            return
        if shown_over(self._viewer, WHAT) is None and not self._masks.is_busy:
            with QSignalBlocker(self.live_box):
                self.live_box.setChecked(False)

    def _turn(self) -> None:
        self._viewer.dims.ndisplay = 5 - self._viewer.dims.ndisplay

    def _tell_error(self, text: str) -> None:
        self.message.setText(f"⚠ {text}")


def _share_task(mask: Volume, labels: Volume) -> Callable[[], list[HiddenShare]]:
    return lambda: hidden_shares(mask, labels)
