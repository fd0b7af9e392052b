"""The patch planner, folded; made when it is unfolded first, so that its dock opens at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_medcontext.widgets.fold import Fold
from napari_medcontext.widgets.scan_table import ScanTable
from napari_medcontext.widgets.settings_panel import SettingsPanel

if TYPE_CHECKING:
    from napari_medcontext.widgets.patch_planner import PatchPlanner

TEXT = "Patch planner: what each patch size would see"
TIP = (
    "The share of foreground, the organs that fit whole, time and memory for patches of 32 to 128 "
    "voxels, and which to take. Press to open or close."
)
QWIDGETSIZE_MAX = 2**24 - 1


class PatchSection(Fold):
    """The folded line of the planner.

    Parameters
    ----------
    viewer, scans, settings
        Those of the ``PatchPlanner``.
    """

    def __init__(self, viewer: Any, scans: ScanTable, settings: SettingsPanel) -> None:
        super().__init__("train_planner")
        self.planner: PatchPlanner | None = None
        """None until it is unfolded."""
        self._inputs = viewer, scans, settings
        self.setText(TEXT)
        self.setToolTip(TIP)
        self.setDuration(0)
        self.toggled.connect(self._show)

    def _show(self, opened: bool) -> None:
        if not opened:
            return
        if self.planner is None:
            # Imported only now: plots take a while to load.
            from napari_medcontext.widgets.patch_planner import PatchPlanner

            self.planner = PatchPlanner(*self._inputs)
            self.addWidget(self.planner)
        # It grows when a plan comes.
        self.content().setMaximumHeight(QWIDGETSIZE_MAX)
